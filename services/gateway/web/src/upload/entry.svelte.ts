import type { Item, Problem } from "../api";
import type { Chosen } from "./choosing";
import type { KeptFile } from "./database";

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

/** What all files of an upload amount to. */
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

export function totals(entries: readonly Pick<Entry, "state" | "sentBytes" | "record">[]): Totals {
  const sums = { files: 0, done: 0, refused: 0, missing: 0, bytes: 0, sentBytes: 0, isSending: false };
  for (const { state, sentBytes, record } of entries) {
    sums.files += 1;
    if (state === "refused") sums.refused += 1;
    if (state === "missing") sums.missing += 1;
    if (state === "ready" || state === "duplicate") sums.done += 1;
    if (state === "waiting" || state === "hashing" || state === "sending") sums.isSending = true;
    if (state === "refused" || state === "duplicate") continue; // nothing of these is sent
    sums.bytes += record.size;
    sums.sentBytes += state === "checking" || state === "ready" ? record.size : sentBytes;
  }
  return sums;
}
