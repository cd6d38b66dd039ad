/** Asks before a part of the page goes whose files are not sent yet. A viewer's page loads no more than this for it. */

interface Work {
  isUnfinished(): boolean;
  /** Asks the person. Returns whether the work may end. */
  ask(): Promise<boolean>;
}

const works = new Set<Work>();
let asking: Promise<boolean> | undefined;

/** Names work that ends when its component goes. Returns the function that takes it back. */
export function guard(work: Work): () => void {
  works.add(work);
  return () => works.delete(work);
}

/** Tells whether files are being sent, or are chosen and not shared yet. */
export const isUnfinished = (): boolean => [...works].some((work) => work.isUnfinished());

/** Returns whether what is shown may go; the person is asked if files are not sent. */
export async function mayLeave(): Promise<boolean> {
  const work = [...works].find((one) => one.isUnfinished());
  return !work || (asking ??= work.ask().finally(() => (asking = undefined)));
}
