/** Declares files to the server, many at once. */

import { asProblem, type Problem } from "../api/problem";
import { idempotencyKey } from "../api/random";
import type { Promised } from "./calls";
import type { KeptFile } from "./database";
import { isBatchTooLarge } from "./patience";

/** The most files of one call. */
export const BATCH = 100;

export interface Declared {
  record: KeptFile;
}

/** What became of one file. */
export type Outcome<E> = { entry: E; promised: Promised } | { entry: E; problem: Problem };

/**
 * Signs files, and returns the outcome of each. The server takes all files of a call, or none: those that it names
 * are left out of the next call, and a batch that is too much for it is halved.
 *
 * sign: repeats a call until its answer is final.
 */
export async function signBatch<E extends Declared>(
  entries: readonly E[],
  sign: (files: KeptFile[], key: string) => Promise<Promised[]>,
): Promise<Outcome<E>[]> {
  if (entries.length === 0) return [];
  try {
    const promised = await sign(entries.map(({ record }) => record), idempotencyKey());
    return entries.flatMap((entry, index) => {
      const one = promised[index];
      return one ? [{ entry, promised: one }] : [];
    });
  } catch (failure) {
    if (failure instanceof DOMException) throw failure; // it was stopped
    const problem = asProblem(failure);
    if (isBatchTooLarge(problem) && entries.length > 1) {
      const half = Math.ceil(entries.length / 2);
      return [...(await signBatch(entries.slice(0, half), sign)), ...(await signBatch(entries.slice(half), sign))];
    }
    const named = namedFiles(problem);
    const refused = entries.filter((_, index) => named.size === 0 || named.has(index));
    const others = entries.filter((entry) => !refused.includes(entry));
    return [...refused.map((entry) => ({ entry, problem })), ...(await signBatch(others, sign))];
  }
}

/** Returns the positions of the files that a refusal names (`files.3.size`); none if it is about all. */
export function namedFiles(problem: Problem): Set<number> {
  const numbers = problem.errors.map(({ field }) => /^files\.(\d+)/.exec(field)?.[1]);
  return new Set(numbers.filter((number) => number !== undefined).map(Number));
}
