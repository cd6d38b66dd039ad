import { type Access, asProblem, idempotencyKey, type Item, joinSignals, Problem } from "../api";
import { Calls, type Promised } from "./calls";
import { Checking } from "./checking";
import { type Chosen, isSame, matched } from "./choosing";
import { type KeptFile, filesOf, forgetFiles, keepFiles, updateFile } from "./database";
import { ENDED, Entry, totals } from "./entry.svelte";
import { contentType } from "./formats";
import { Hashing } from "./hashing";
import { lock } from "./lock";
import { persevere } from "./patience";
import { Sender } from "./sending";
import { BATCH, signBatch } from "./signing";
import { isReadable, transfer, Urls } from "./transferring";

/** Files that are sent at once. A browser opens six connections to a host, and calls need some of them. */
const AT_ONCE = 4;
/** Signed files that wait for their turn: beyond these, no further batch is signed. */
const SIGNED_AHEAD = 12;
/** How long the first files of a batch wait for the digests of others. */
const LINGER_MS = 500;
/** Larger files are sent without a digest: it would take a phone longer than half a minute before the first byte. */
const DIGEST_BYTES = 1 << 30;
/** How often a file begins anew by itself, after the server dropped its upload. */
const RESTARTS = 2;
const FULL = "storage_full";
const KEY_WRONG = "contributor_key_wrong";
const OVER = new Set(["upload_not_found", "upload_expired", "upload_aborted"]);

/**
 * The files that a page uploads to one gallery: digests, signatures, transfers and their results.
 *
 * Without a gallery (`begin`), files only get their digests.
 */
export class Uploads {
  readonly entries = $state<Entry[]>([]);
  isPaused = $state(false);
  /** Whether another tab goes on with the files of an earlier page. */
  isElsewhere = $state(false);
  /** Why nothing moves at the moment, if that passes by itself. */
  trouble = $state.raw<Problem>();
  readonly totals = $derived(totals(this.entries));
  /** Whether the key of a contributor is void. */
  readonly isKeyWrong = $derived(this.entries.some(({ problem }) => problem?.code === KEY_WRONG));

  readonly #calls: Calls;
  readonly #sender = new Sender();
  readonly #hashing = new Hashing();
  readonly #checking: Checking;
  readonly #urls = new Map<Entry, Urls>();
  readonly #restarts = new Map<Entry, number>();
  readonly #stopped = new AbortController();
  readonly #active = new Map<Entry, AbortController>();
  #galleryId: string | undefined;
  #isHashing = false;
  #isSigning = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #hasLingered = false;
  #release: (() => void) | undefined;

  /** onready: is told of each item that became ready. */
  constructor(
    access: () => Promise<Access>,
    private readonly onready: (item: Item) => void,
  ) {
    this.#calls = new Calls(access);
    this.#checking = new Checking((mediaId) => this.#calls.item(mediaId));
    const { signal } = this.#stopped;
    for (const event of ["online", "offline"]) addEventListener(event, () => this.#halt(), { signal });
  }

  /** Names the gallery that gets the files. */
  async begin(galleryId: string): Promise<void> {
    this.#galleryId = galleryId;
    for (const { record } of this.entries) record.galleryId = galleryId;
    this.#keep(this.entries);
    this.#pump();
    this.#release ??= await lock(galleryId);
  }

  /** Returns the files that an earlier page left unfinished; none if another tab goes on with them. */
  async unfinished(): Promise<KeptFile[]> {
    if (!this.#galleryId) return [];
    this.#release ??= await lock(this.#galleryId);
    const known = new Set(this.entries.map(({ record }) => record.key));
    const found = (await filesOf(this.#galleryId)).filter(({ key }) => !known.has(key));
    this.isElsewhere = found.length > 0 && !this.#release;
    return this.isElsewhere ? [] : found;
  }

  /** Goes on with files of an earlier page. It is called by a click, which lets the browser ask for permission. */
  async restore(records: readonly KeptFile[]): Promise<void> {
    const restored = records.map(({ copy, ...record }) => {
      const { name, type, lastModified, plan, etags } = record;
      const entry = new Entry(record, copy && new File([copy], name, { type, lastModified }));
      if (plan) entry.sentBytes = Object.keys(etags).length * plan.partSize;
      return entry;
    });
    this.entries.push(...restored);
    this.#pump();
    for (const entry of restored) {
      const file = entry.file ?? (await reopened(entry.record));
      if (file && entry.state === "missing") entry.found({ file });
      this.#pump();
    }
  }

  /** Adds files. Those that are needed again are matched; one that is there already is not added twice. */
  add(chosen: readonly Chosen[]): void {
    const missing = new Map(this.entries.filter((entry) => entry.state === "missing").map((one) => [one.record, one]));
    const { pairs, others } = matched([...missing.keys()], chosen);
    for (const [record, one] of pairs) missing.get(record)?.found(one);
    const added = others
      .filter(({ file }) => !this.entries.some(({ record }) => isSame(record, file)))
      .map((one) => this.#entryOf(one));
    this.entries.push(...added);
    if (this.#galleryId) this.#keep(added);
    this.#pump();
  }

  pause(): void {
    this.isPaused = true;
    this.#halt();
  }

  resume(): void {
    this.isPaused = false;
    this.#halt();
    this.#pump();
  }

  /** Tries a refused file again, or sends a duplicate all the same. */
  retry(entry: Entry): void {
    entry.isWantedTwice = entry.state === "duplicate" || entry.isWantedTwice;
    this.#restarts.delete(entry);
    if (entry.problem?.code === FULL) entry.state = "waiting";
    else this.#restart(entry);
    this.#keep([entry]);
    this.#pump();
  }

  /** Takes a file off. An item that exists already stays. */
  remove(entry: Entry): void {
    const at = this.entries.indexOf(entry);
    if (at >= 0) this.entries.splice(at, 1);
    this.#active.get(entry)?.abort(new DOMException("removed", "AbortError"));
    this.#sender.cancel(entry.record.key);
    this.#forget(entry);
    const { plan } = entry.record;
    if (plan && !ENDED.has(entry.state) && entry.state !== "checking") this.#abort(plan.id);
    this.#pump();
  }

  /** Forgets files of an earlier page and gives their place in the store free. */
  discard(records: readonly KeptFile[]): void {
    void forgetFiles(records.map(({ key }) => key));
    void this.#calls.abortAll(records.flatMap(({ plan }) => plan?.id ?? []));
  }

  /** Forgets the files that are not in the gallery. Returns them, for another access. */
  withdraw(): Chosen[] {
    const open = this.entries.filter(({ state, problem }) => {
      return problem?.code === KEY_WRONG || (!ENDED.has(state) && state !== "checking");
    });
    void forgetFiles(open.map(({ record }) => record.key));
    return open.flatMap(({ file, record: { handle } }) => (file ? [{ file, ...(handle && { handle }) }] : []));
  }

  /** Takes items that the page got otherwise. */
  take(items: readonly Item[]): void {
    this.#checking.take(items);
  }

  /** Looks at an item that is said to be ready. */
  nudge(mediaId: string): void {
    void this.#checking.nudge(mediaId);
  }

  close(): void {
    this.#stopped.abort(new DOMException("closed", "AbortError"));
    clearTimeout(this.#lingering);
    this.#sender.close();
    this.#hashing.close();
    this.#checking.close();
    this.#release?.();
  }

  // Connections that were open when the network went do not end by themselves.
  #halt(): void {
    this.#wait(navigator.onLine ? undefined : new Problem(0, "offline"));
    if (this.isPaused || !navigator.onLine) this.#sender.pause();
    else this.#sender.resume();
  }

  #entryOf({ file, handle, isUnreadable }: Chosen): Entry {
    const { name, size, lastModified } = file;
    const type = contentType(file);
    const record: KeptFile = {
      key: idempotencyKey(),
      galleryId: this.#galleryId ?? "",
      name,
      size,
      type: type ?? "",
      lastModified,
      keptAt: Date.now(),
      etags: {},
      ...(handle && { handle }),
    };
    const entry = new Entry(record, file);
    if (isUnreadable) entry.end("refused", new Problem(0, "file_unreadable"));
    else if (type === undefined) entry.end("refused", new Problem(0, "unsupported_content_type"));
    else if (size === 0) entry.end("refused", new Problem(0, "file_empty"));
    entry.isHashed = size > DIGEST_BYTES;
    return entry;
  }

  #pump(): void {
    if (this.#stopped.signal.aborted) return;
    if (!this.#isHashing) void this.#hash();
    if (this.isPaused || !this.#galleryId) return;
    if (!this.#isSigning) void this.#sign(this.#galleryId);
    for (const entry of this.entries) {
      if (this.#active.size >= AT_ONCE) break;
      if (entry.state === "waiting" && entry.record.plan && entry.file) void this.#send(entry);
    }
  }

  async #hash(): Promise<void> {
    const entry = this.entries.find((one) => one.state === "waiting" && !one.isHashed);
    if (!entry?.file) return;
    this.#isHashing = true;
    entry.state = "hashing";
    const sha256 = await this.#hashing.digest(entry.file);
    this.#isHashing = false;
    if (entry.state === "hashing") await this.#hashed(entry, sha256);
    this.#pump();
  }

  async #hashed(entry: Entry, sha256: string | undefined): Promise<void> {
    entry.isHashed = true;
    if (sha256 === undefined && !(await isReadable(entry.file))) {
      return this.#refuse(entry, new Problem(0, "file_changed"));
    }
    if (sha256 !== undefined) entry.record.sha256 = sha256;
    const twin = this.entries.find((one) => {
      return one !== entry && one.record.sha256 === sha256 && one.isHashed && one.state !== "refused";
    });
    if (sha256 !== undefined && twin && !entry.isWantedTwice) {
      entry.end("duplicate", new Problem(0, twin.state === "ready" ? "duplicate_in_gallery" : "duplicate_chosen"));
      this.#forget(entry);
    } else entry.state = "waiting";
  }

  async #sign(galleryId: string): Promise<void> {
    const waiting = this.entries.filter(({ state }) => state === "waiting");
    const open = waiting.filter(({ record, isHashed, file }) => isHashed && !record.plan && file);
    if (open.length === 0 || waiting.filter(({ record }) => record.plan).length >= SIGNED_AHEAD) return;
    if (open.length < BATCH && this.#isHashing && !this.#hasLingered) {
      this.#lingering ??= setTimeout(() => {
        this.#hasLingered = true;
        this.#pump();
      }, LINGER_MS);
      return;
    }
    this.#isSigning = true;
    try {
      const outcomes = await signBatch(open.slice(0, BATCH), (files, key) =>
        this.#persevere(() => this.#calls.sign(galleryId, files, key)),
      );
      for (const outcome of outcomes) {
        if ("problem" in outcome) this.#refuse(outcome.entry, outcome.problem);
        else this.#signed(outcome.entry, outcome.promised);
      }
    } catch {
      return; // it was closed
    } finally {
      clearTimeout(this.#lingering);
      this.#lingering = undefined;
      this.#hasLingered = false;
      this.#isSigning = false;
    }
    this.#pump();
  }

  #signed(entry: Entry, promised: Promised): void {
    const isGone = !this.entries.includes(entry); // removed meanwhile
    if (isGone || (promised.duplicate_of !== undefined && !entry.isWantedTwice)) {
      this.#abort(promised.id);
      if (isGone) return;
      entry.end("duplicate", new Problem(0, "duplicate_in_gallery"));
      return this.#forget(entry);
    }
    const { id, media_id, method, multipart } = promised;
    entry.record.plan = { id, mediaId: media_id, method, partSize: multipart?.part_size ?? 0 };
    const urls = new Urls();
    urls.fill(promised, performance.now());
    this.#urls.set(entry, urls);
    void updateFile(entry.record);
  }

  async #send(entry: Entry): Promise<void> {
    const cancelled = new AbortController();
    this.#active.set(entry, cancelled);
    entry.state = "sending";
    const urls = this.#urls.get(entry);
    try {
      const item = await transfer(entry, urls ?? new Urls(), urls !== undefined, {
        calls: this.#calls,
        sender: this.#sender,
        signal: joinSignals(this.#stopped.signal, cancelled.signal),
        onwait: (problem) => this.#wait(problem),
        save: ({ record }) => void updateFile(record),
      });
      this.#forget(entry);
      void this.#check(entry, item);
    } catch (failure) {
      this.#failed(entry, failure);
    } finally {
      this.#active.delete(entry);
      this.#urls.delete(entry);
      this.#pump();
    }
  }

  async #check(entry: Entry, completed: Item): Promise<void> {
    const found = completed.status === "processing" ? await this.#checking.watch(completed.id) : completed;
    if (found instanceof Problem) return this.#refuse(entry, found);
    if (found.status === "rejected") return this.#refuse(entry, new Problem(422, found.rejection_reason ?? ""));
    entry.item = found;
    entry.end("ready");
    entry.file = undefined;
    this.onready(found);
  }

  #failed(entry: Entry, failure: unknown): void {
    if (this.#stopped.signal.aborted || !this.entries.includes(entry)) return; // closed, or removed
    const problem = asProblem(failure);
    const restarts = this.#restarts.get(entry) ?? 0;
    if (OVER.has(problem.code) && restarts < RESTARTS) {
      this.#restarts.set(entry, restarts + 1);
      this.#restart(entry);
      void updateFile(entry.record);
      return;
    }
    this.#refuse(entry, failure instanceof Problem ? failure : new Problem(0, "unexpected", problem.detail));
  }

  #restart(entry: Entry): void {
    this.#urls.delete(entry);
    entry.restart();
  }

  #refuse(entry: Entry, problem: Problem): void {
    entry.end("refused", problem);
    if (problem.code === FULL) return; // what was sent stays
    if (entry.record.plan) this.#abort(entry.record.plan.id);
    this.#forget(entry);
  }

  #keep(entries: readonly Entry[]): void {
    const open = entries.filter(({ state }) => !ENDED.has(state));
    void keepFiles(open.flatMap(({ record, file }) => (file ? [{ record, file }] : [])));
  }

  #forget(entry: Entry): void {
    void forgetFiles([entry.record.key]);
  }

  // Without an answer nothing is lost: the server ends it by itself.
  #abort(uploadId: string): void {
    this.#calls.abort(uploadId).catch(() => {});
  }

  #wait(problem: Problem | undefined): void {
    if (this.trouble?.code !== problem?.code) this.trouble = problem;
  }

  #persevere<T>(call: () => Promise<T>): Promise<T> {
    return persevere(call, this.#stopped.signal, (problem) => this.#wait(problem));
  }
}

/** Opens a kept file again. Returns undefined if the person must choose it again, or it was changed since. */
async function reopened(record: KeptFile): Promise<File | undefined> {
  const handle = record.handle as Askable | undefined;
  try {
    if ((await handle?.requestPermission({ mode: "read" })) !== "granted") return undefined;
    const file = await handle?.getFile();
    return file && isSame(file, record) ? file : undefined;
  } catch {
    return undefined; // moved or deleted
  }
}

interface Askable extends FileSystemFileHandle {
  requestPermission(options: { mode: "read" }): Promise<PermissionState>;
}
