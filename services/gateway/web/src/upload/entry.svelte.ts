import type { Item } from "../api";
import { Problem } from "../api/problem";
import { idempotencyKey } from "../api/random";
import type { Chosen } from "./choosing";
import type { KeptFile } from "./database";
import { contentType } from "./formats";
import { isSidecar } from "./sidecars";

/**
 * missing: the file must be chosen again. waiting: for its digest, its signature or its turn. checking: the
 * service has the bytes and looks at them. refused: `problem` says why. duplicate: it is not sent twice.
 */
export type State =
  | "missing"
  | "waiting"
  | "hashing"
  | "sending"
  | "checking"
  | "ready"
  | "duplicate"
  | "refused";

export const ENDED: ReadonlySet<State> = new Set(["ready", "duplicate", "refused"]);

/** One file of an upload, and what is shown of it. */
export class Entry {
  readonly record: KeptFile;
  file: File | undefined;
  state = $state<State>("waiting");
  /** Bytes that the store acknowledged or that are on their way. */
  sentBytes = $state(0);
  problem = $state.raw<Problem>();
  item = $state.raw<Item>();
  /** The sidecar of a picture, and the picture of a sidecar. */
  sidecar: Entry | undefined;
  picture: Entry | undefined;
  /** Whether its digest is known, or is not needed. */
  isHashed = false;
  /** Whether the person wants it although the gallery has it. */
  isWantedTwice = false;

  constructor(record: KeptFile, file: File | undefined) {
    this.record = record;
    this.file = file;
    if (!file) this.state = "missing";
    this.isHashed = record.sha256 !== undefined || record.plan !== undefined;
  }

  get isSidecar(): boolean {
    return isSidecar(this.record.name);
  }

  /** Makes it the sidecar of a picture. */
  join(picture: Entry): void {
    this.picture = picture;
    this.record.of = picture.record.key;
    picture.sidecar = this;
  }

  /** Whether something of it is still to be done here and now. */
  get isMoving(): boolean {
    return !ENDED.has(this.state) && this.state !== "missing";
  }

  /** Gives it its file again. */
  found({ file, handle }: Chosen): void {
    this.file = file;
    if (handle) this.record.handle = handle;
    this.state = "waiting";
  }

  /** Puts it back to the beginning, as a file that the server knows nothing of. */
  restart(): void {
    delete this.record.plan;
    this.record.etags = {};
    this.sentBytes = 0;
    this.problem = undefined;
    this.state = this.file ? "waiting" : "missing";
  }

  end(state: "ready" | "duplicate" | "refused", problem?: Problem): void {
    this.problem = problem;
    this.state = state;
  }
}

/** Larger files are sent without a digest: it would take a phone longer than half a minute before the first byte. */
const DIGEST_BYTES = 1 << 30;

/** Returns the entry of a file that was chosen. */
export function entryOf({ file, handle, isUnreadable }: Chosen, galleryId: string): Entry {
  const { name, size, lastModified } = file;
  const type = contentType(file);
  const record: KeptFile = {
    key: idempotencyKey(),
    galleryId,
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

/** What all files of an upload amount to. A sidecar counts with its picture, by its bytes, unless it is refused. */
export interface Totals {
  files: number;
  /** Files that are in the gallery, or are there already. */
  done: number;
  refused: number;
  missing: number;
  bytes: number;
  sentBytes: number;
  /** Whether bytes are still to be sent. */
  isSending: boolean;
}

export function totals(entries: readonly (Pick<Entry, "state" | "sentBytes" | "record"> & Partial<Pick<Entry, "problem">>)[]): Totals {
  const sums = { files: 0, done: 0, refused: 0, missing: 0, bytes: 0, sentBytes: 0, isSending: false };
  for (const { state, sentBytes, record, problem } of entries) {
    if (record.of === undefined || (state === "refused" && problem)) {
      sums.files += 1;
      if (state === "refused") sums.refused += 1;
      if (state === "ready" || state === "duplicate") sums.done += 1;
    }
    if (state === "missing") sums.missing += 1;
    if (state === "waiting" || state === "hashing" || state === "sending") sums.isSending = true;
    if (state === "refused" || state === "duplicate") continue; // nothing of these is sent
    sums.bytes += record.size;
    sums.sentBytes += state === "checking" || state === "ready" ? record.size : sentBytes;
  }
  return sums;
}
