import { type Access, asProblem, type Item, joinSignals, Problem } from "../api";
import { Calls, type Promised } from "./calls";
import { Checking } from "./checking";
import { type Chosen, isSame, matched } from "./choosing";
import { type KeptFile, filesOf, forgetFiles, keepFiles, updateFile } from "./database";
import { ENDED, Entry, entryOf, totals } from "./entry.svelte";
import { Hashing } from "./hashing";
import { joinSidecars, rejoin } from "./joining";
import { lock } from "./lock";
import { persevere } from "./patience";
import { reopened } from "./reopening";
import { Sender } from "./sending";
import { inOneCall } from "./sidecars";
import { BATCH, signBatch } from "./signing";
import { isReadable, transfer, Urls } from "./transferring";

/** Files that are sent at once. A browser opens six connections to a host, and calls need some of them. */
const AT_ONCE = 4;
/** Signed files that wait for their turn: beyond these, no further batch is signed. */
const SIGNED_AHEAD = 12;
/** How long the first files of a batch wait for the digests of others. */
const LINGER_MS = 500;
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
  #signing: ReadonlySet<Entry> = new Set();
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
    const { torn, left } = rejoin(this.entries);
    for (const picture of torn) this.#restart(picture);
    for (const sidecar of left) this.remove(sidecar);
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
      .map((one) => entryOf(one, this.#galleryId ?? ""));
    this.entries.push(...added);
    const joined = joinSidecars(this.entries, this.#signing);
    if (this.#galleryId) this.#keep([...new Set([...added, ...joined])]);
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
    this.#keep(entry.sidecar ? [entry, entry.sidecar] : [entry]);
    this.#pump();
  }

  /** Takes a file off. An item that exists already stays. */
  remove(entry: Entry): void {
    const at = this.entries.indexOf(entry);
    if (at >= 0) this.entries.splice(at, 1);
    this.#cancel(entry);
    void forgetFiles([entry.record.key]);
    const { plan } = entry.record;
    if (plan && !ENDED.has(entry.state) && entry.state !== "checking") this.#abort(plan.id);
    if (entry.sidecar) this.remove(entry.sidecar);
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

  #pump(): void {
    if (this.#stopped.signal.aborted) return;
    if (!this.#isHashing) void this.#hash();
    if (this.isPaused || !this.#galleryId) return;
    if (this.#signing.size === 0) void this.#sign(this.#galleryId);
    for (const entry of this.entries) {
      if (this.#active.size >= AT_ONCE) break;
      const isNext = entry.state === "waiting" && entry.record.plan && entry.file;
      if (isNext && !entry.sidecar?.isMoving) void this.#send(entry); // so a picture is shown with what its sidecar says
    }
  }

  async #hash(): Promise<void> {
    const unread = this.entries.filter((one) => one.state === "waiting" && !one.isHashed);
    const entry = unread.find(({ isSidecar }) => isSidecar) ?? unread[0]; // pictures wait for their sidecars
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
    const twin = !entry.isSidecar && this.entries.find((one) => {
      return one !== entry && one.record.sha256 === sha256 && one.isHashed && one.state !== "refused";
    });
    if (sha256 !== undefined && twin && !entry.isWantedTwice) {
      this.#duplicate(entry, twin.state === "ready" ? "duplicate_in_gallery" : "duplicate_chosen");
    } else entry.state = "waiting";
  }

  async #sign(galleryId: string): Promise<void> {
    const waiting = this.entries.filter(({ state }) => state === "waiting");
    const isRead = (entry: Entry): boolean => entry.isHashed || !entry.file;
    const open = waiting.filter((entry) => {
      const { record, file, sidecar } = entry;
      return isRead(entry) && !record.plan && file && !entry.isSidecar && (!sidecar || isRead(sidecar));
    });
    if (open.length === 0 || waiting.filter(({ record }) => record.plan).length >= SIGNED_AHEAD) return;
    if (open.length < BATCH && this.#isHashing && !this.#hasLingered) {
      this.#lingering ??= setTimeout(() => {
        this.#hasLingered = true;
        this.#pump();
      }, LINGER_MS);
      return;
    }
    const groups = inOneCall<Entry, Entry>(open, BATCH, ({ state }) => !ENDED.has(state));
    this.#signing = new Set(groups.flat());
    try {
      const outcomes = await signBatch(groups, (files, key) =>
        this.#persevere(() => this.#calls.sign(galleryId, files, key)),
      );
      for (const outcome of outcomes) {
        if (!("problem" in outcome)) this.#signed(outcome.entry, outcome.promised);
        else if (!ENDED.has(outcome.entry.state)) this.#refuse(outcome.entry, outcome.problem);
      }
    } catch {
      return; // it was closed
    } finally {
      clearTimeout(this.#lingering);
      this.#lingering = undefined;
      this.#hasLingered = false;
      this.#signing = new Set();
    }
    this.#pump();
  }

  #signed(entry: Entry, promised: Promised): void {
    const isGone = !this.entries.includes(entry) || ENDED.has(entry.state); // removed meanwhile
    if (isGone || (promised.duplicate_of !== undefined && !entry.isWantedTwice)) {
      this.#abort(promised.id);
      if (!isGone) this.#duplicate(entry, "duplicate_in_gallery");
      return;
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
      if (item.status === "waiting" || entry.isSidecar) entry.end("ready");
      else void this.#check(entry, item);
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
    if (this.#stopped.signal.aborted || !this.entries.includes(entry) || ENDED.has(entry.state)) return; // or removed
    const problem = asProblem(failure);
    const picture = entry.picture ?? entry; // a sidecar is declared with its picture only
    const restarts = this.#restarts.get(picture) ?? 0;
    const canRestart = picture === entry || (picture.state === "waiting" && this.entries.includes(picture));
    if (OVER.has(problem.code) && restarts < RESTARTS && canRestart) {
      this.#restarts.set(picture, restarts + 1);
      this.#restart(picture);
      return;
    }
    this.#refuse(entry, failure instanceof Problem ? failure : new Problem(0, "unexpected", problem.detail));
  }

  #restart(entry: Entry): void {
    const { sidecar } = entry;
    if (sidecar?.record.plan && entry.record.plan) this.#abort(entry.record.plan.id);
    for (const one of sidecar && !sidecar.problem ? [entry, sidecar] : [entry]) {
      this.#urls.delete(one);
      one.restart();
      void updateFile(one.record);
    }
  }

  #duplicate(entry: Entry, code: string): void {
    entry.end("duplicate", new Problem(0, code));
    this.#forget(entry);
    this.#drop(entry.sidecar);
  }

  // Ends the sidecar of a picture that is not added.
  #drop(sidecar: Entry | undefined): void {
    if (!sidecar || ENDED.has(sidecar.state)) return;
    sidecar.end("refused");
    this.#cancel(sidecar);
    void forgetFiles([sidecar.record.key]);
  }

  #cancel(entry: Entry): void {
    this.#active.get(entry)?.abort(new DOMException("removed", "AbortError"));
    this.#sender.cancel(entry.record.key);
  }

  #refuse(entry: Entry, problem: Problem): void {
    entry.end("refused", problem);
    if (problem.code === FULL) return; // what was sent stays
    if (entry.record.plan) this.#abort(entry.record.plan.id);
    this.#forget(entry);
    this.#drop(entry.sidecar);
  }

  #keep(entries: readonly Entry[]): void {
    const open = entries.filter(({ state }) => !ENDED.has(state));
    void keepFiles(open.flatMap(({ record, file }) => (file ? [{ record, file }] : [])));
  }

  // A sidecar is kept until its picture is there: that may have to be declared again.
  #forget({ record, sidecar, picture }: Entry): void {
    const isWanted = picture && !ENDED.has(picture.state) && picture.state !== "checking";
    const over = sidecar && ENDED.has(sidecar.state) ? [record.key, sidecar.record.key] : [record.key];
    if (!isWanted) void forgetFiles(over);
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
