/** Repeats calls that failed for a while: no network, too many requests, a service that is busy. */

import { asProblem, type Problem } from "../api/problem";

const FIRST_MS = 200;
const LONGEST_MS = 10_000;
const TEMPORARY = new Set([0, 408, 425, 429, 502, 503, 504]);

/** Tells whether the same call may succeed later. */
export function isTemporary(problem: Problem): boolean {
  return TEMPORARY.has(problem.status) || problem.code === "claim_in_progress";
}

/** Returns the time to wait after a failure. attempt: 0 for the first. chance: from 0 to 1. */
export function pauseMs(attempt: number, retryAfterS: number, chance = Math.random()): number {
  const backoff = Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS) * (0.5 + chance / 2);
  return Math.max(backoff, retryAfterS * 1000);
}

/** Waits; a network that comes back ends the wait of `isOffline`. Rejects with the signal's reason. */
export function sleep(ms: number, signal: AbortSignal, isOffline = false): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(done, ms);
    if (isOffline) addEventListener("online", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

/**
 * Calls until an answer is final.
 *
 * onwait: is told of each temporary failure, and of the success after it by undefined. Throws Problem, or the
 * signal's reason.
 */
export async function persevere<T>(
  call: () => Promise<T>,
  signal: AbortSignal,
  onwait: (problem: Problem | undefined) => void,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await call();
      if (attempt > 0) onwait(undefined);
      return answer;
    } catch (failure) {
      if (signal.aborted) throw failure;
      const problem = asProblem(failure);
      if (!isTemporary(problem) || isBatchTooLarge(problem)) throw problem;
      onwait(problem);
      await sleep(pauseMs(attempt, problem.retryAfterS), signal, problem.status === 0);
    }
  }
}

/** Tells whether fewer files at once would be taken: then waiting does not help. */
export function isBatchTooLarge(problem: Problem): boolean {
  return problem.code === "too_much_promised" && problem.retryAfterS === 0;
}
