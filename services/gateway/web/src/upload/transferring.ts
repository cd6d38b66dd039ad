/** Brings one file to the store, however often that is interrupted. */

import { Problem } from "../api/problem";
import type { Calls, Completed, Promised, SignedPart } from "./calls";
import type { Entry } from "./entry.svelte";
import { pauseMs, persevere, sleep } from "./patience";
import { type Sender, type Signed, StoreRefusal } from "./sending";

/** Parts that are signed at once. Their URLs are valid for minutes, and a part may take one. */
const PARTS_AHEAD = 8;
/** URLs are not used in the last minute of their life. */
const MARGIN_S = 60;
/** Refusals in a row, without a byte that was acknowledged, after which a file is given up. */
const REFUSALS = 4;
const RENEWABLE = new Set(["ExpiredToken", "RequestExpired"]);
const REPEATABLE = new Set(["RequestTimeout", "IncompleteBody", "BadDigest"]);

/** Tells what to do after the store refused a request: use new URLs, send again later, or give up. */
export function remedy({ status, code }: { status: number; code: string }): "renew" | "repeat" | "give up" {
  if (status === 403 || status === 404 || RENEWABLE.has(code)) return "renew";
  if (status === 507) return "give up";
  if (status === 0 || status === 408 || status === 409 || status === 429 || status >= 500) return "repeat";
  return REPEATABLE.has(code) ? "repeat" : "give up";
}

/** The URLs of one upload that are still valid. */
export class Urls {
  readonly #byNumber = new Map<number, Signed>();
  #until = 0;

  /** now: milliseconds of a clock that only goes forward. */
  fill({ single, multipart, expires_in }: Promised, now: number): void {
    this.add([...(multipart?.parts ?? []), ...(single ? [{ ...single, number: 0 }] : [])], expires_in, now);
  }

  add(parts: readonly SignedPart[], expiresInS: number, now: number): void {
    this.#until = now + (expiresInS - MARGIN_S) * 1000;
    for (const part of parts) this.#byNumber.set(part.number, part);
  }

  take(number: number, now: number): Signed | undefined {
    return now < this.#until ? this.#byNumber.get(number) : undefined;
  }

  clear(): void {
    this.#byNumber.clear();
  }
}

export interface Tools {
  calls: Calls;
  sender: Sender;
  signal: AbortSignal;
  /** Is told of each failure that is waited for, and of its end by undefined. */
  onwait(problem: Problem | undefined): void;
  /** Saves the record of the file. */
  save(entry: Entry): void;
}

/** Sends a file that is signed, and completes it. Returns what that gave. Throws Problem, or the signal's reason. */
export async function transfer(entry: Entry, urls: Urls, isFresh: boolean, tools: Tools): Promise<Completed> {
  const one = new Transfer(entry, urls, isFresh, tools);
  // A whole file may have arrived before the page ended; only parts can be asked for.
  let isThere = !isFresh && entry.record.plan?.method === "single";
  for (let round = 0; ; round += 1) {
    if (!isThere) await one.send();
    isThere = false;
    entry.state = "checking";
    try {
      return await one.complete();
    } catch (failure) {
      if (!(failure instanceof Problem && failure.code === "upload_incomplete") || round === REFUSALS) throw failure;
      entry.state = "sending"; // something did not arrive
    }
  }
}

class Transfer {
  constructor(
    private readonly entry: Entry,
    private readonly urls: Urls,
    private isFresh: boolean,
    private readonly tools: Tools,
  ) {}

  async send(): Promise<void> {
    let acknowledged = Object.keys(this.entry.record.etags).length;
    for (let refusals = 0; ; refusals += 1) {
      try {
        return await this.#sendOnce();
      } catch (failure) {
        if (!(failure instanceof StoreRefusal)) throw failure;
        if (failure.status === 412) return; // it is there: only the answer was lost
        const known = Object.keys(this.entry.record.etags).length;
        if (known > acknowledged) refusals = 0;
        acknowledged = known;
        await this.#recover(failure, refusals);
      }
    }
  }

  complete(): Promise<Completed> {
    const { plan, etags } = this.entry.record;
    return this.#persevere(() => this.tools.calls.complete(plan?.id ?? "", etags));
  }

  async #sendOnce(): Promise<void> {
    const { entry, tools } = this;
    const { key, type, plan, etags } = entry.record;
    if (!entry.file || !plan) throw new Problem(0, "file_missing");
    await tools.sender.send({
      key,
      file: entry.file,
      type,
      plan,
      sign: (number) => this.#sign(number),
      present: () => this.#present(),
      progressed: (bytes) => {
        entry.sentBytes = bytes;
        tools.onwait(undefined);
      },
      acknowledged: (number, etag) => {
        etags[number] = etag;
        tools.save(entry);
      },
    });
  }

  async #sign(number: number): Promise<Signed> {
    const found = this.urls.take(number, performance.now());
    if (found) return found;
    const { plan, size, etags } = this.entry.record;
    if (number === 0 || !plan) await this.#renew();
    else {
      const count = Math.ceil(size / plan.partSize);
      const numbers = Array.from({ length: PARTS_AHEAD }, (_, ahead) => number + ahead);
      const missing = numbers.filter((one) => one <= count && etags[one] === undefined);
      const answer = await this.#persevere(() => this.tools.calls.parts(plan.id, missing));
      this.urls.add(answer.parts, answer.expires_in, performance.now());
    }
    const signed = this.urls.take(number, performance.now());
    if (!signed) throw new Problem(0, "upload_expired");
    return signed;
  }

  // A part counts if the store lists it and this browser saw its acknowledgement: some stores list parts that were cut.
  async #present(): Promise<Record<number, string>> {
    if (this.isFresh) {
      this.isFresh = false;
      return {};
    }
    const { etags } = this.entry.record;
    const { multipart } = await this.#renew();
    const plain = (etag: string | undefined): string => etag?.replaceAll('"', "") ?? "";
    const listed = new Map(multipart?.present?.map(({ number, etag }) => [number, plain(etag)]));
    for (const number of Object.keys(etags).map(Number)) {
      if (listed.get(number) !== plain(etags[number])) delete etags[number];
    }
    return etags;
  }

  /** Gets the state of the upload and new URLs. Throws a Problem if it is over. */
  async #renew(): Promise<Promised> {
    const { plan } = this.entry.record;
    const found = await this.#persevere(() => this.tools.calls.status(plan?.id ?? ""));
    if (found.state === "rejected") throw new Problem(422, found.rejection_reason ?? "content_mismatch");
    if (found.state === "aborted" || found.state === "expired") throw new Problem(409, `upload_${found.state}`);
    if (found.state === "completed") throw new StoreRefusal(412, "PreconditionFailed");
    this.urls.clear();
    this.urls.fill(found, performance.now());
    return found;
  }

  async #recover(refusal: StoreRefusal, refusals: number): Promise<void> {
    const { entry, tools } = this;
    if (!(await isReadable(entry.file))) throw new Problem(0, "file_changed");
    const next = remedy(refusal);
    const isLost = refusal.status === 0; // no network: it may take hours
    if (next === "give up" || (refusals >= REFUSALS && !isLost)) {
      throw new Problem(refusal.status, refusal.status === 507 ? "storage_full" : "store_refused", refusal.message);
    }
    if (next === "renew") this.urls.clear();
    tools.onwait(new Problem(refusal.status, isLost ? "offline" : "store_busy"));
    await sleep(pauseMs(refusals, 0), tools.signal, isLost);
  }

  #persevere<T>(call: () => Promise<T>): Promise<T> {
    return persevere(call, this.tools.signal, this.tools.onwait);
  }
}

/** Tells whether the file is still there as it was chosen: browsers refuse to read one that was changed. */
export async function isReadable(file: File | undefined): Promise<boolean> {
  if (!file) return false;
  return file.slice(0, 1).arrayBuffer().then(
    () => true,
    () => false,
  );
}
