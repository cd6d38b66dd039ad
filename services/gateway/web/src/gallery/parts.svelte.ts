/** Parts of the page that are fetched when they are wanted. */
export const parts = $state({ hasFailed: false });

/** Returns undefined if a part cannot be had: without a network, or in a tab that is older than the service. */
export async function part<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    const found = await load();
    parts.hasFailed = false;
    return found;
  } catch {
    parts.hasFailed = true;
    return undefined;
  }
}
