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
 * groups: files that are declared in one call, such as a picture and its sidecar; without the first there is no other.
 * sign: repeats a call until its answer is final.
 */
export async function signBatch<E extends Declared>(
  groups: readonly (readonly E[])[],
  sign: (files: KeptFile[], key: string) => Promise<Promised[]>,
): Promise<Outcome<E>[]> {
  const entries = groups.flat();
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
    if (isBatchTooLarge(problem) && groups.length > 1) {
      const half = Math.ceil(groups.length / 2);
      return [...(await signBatch(groups.slice(0, half), sign)), ...(await signBatch(groups.slice(half), sign))];
    }
    const named = namedFiles(problem);
    const refused = new Set(entries.filter((_, index) => named.size === 0 || named.has(index)));
    const others = groups.map((group) => group.filter((one) => group[0] && ![group[0], one].some((it) => refused.has(it))));
    const left = new Set(others.flat());
    const outcomes = entries.filter((entry) => !left.has(entry)).map((entry) => ({ entry, problem }));
    return [...outcomes, ...(await signBatch(others.filter(({ length }) => length > 0), sign))];
  }
}

/** Returns the positions of the files that a refusal names (`files.3.size`); none if it is about all. */
export function namedFiles(problem: Problem): Set<number> {
  const numbers = problem.errors.map(({ field }) => /^files\.(\d+)/.exec(field)?.[1]);
  return new Set(numbers.filter((number) => number !== undefined).map(Number));
}
