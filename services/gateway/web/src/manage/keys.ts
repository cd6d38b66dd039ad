/** The access keys of galleries that this browser remembers. They are the only way to manage an anonymous gallery. */

const PREFIX = "kappi.key.";

/** Returns false if the browser keeps nothing, as in some private windows. */
export function rememberKey(galleryId: string, key: string): boolean {
  try {
    localStorage.setItem(PREFIX + galleryId, key);
    return true;
  } catch {
    return false;
  }
}

export function keyOf(galleryId: string): string | undefined {
  try {
    return localStorage.getItem(PREFIX + galleryId) ?? undefined;
  } catch {
    return undefined;
  }
}

/** key: is forgotten only if it is this one; undefined for any. */
export function forgetKey(galleryId: string, key?: string): void {
  try {
    if (key === undefined || keyOf(galleryId) === key) localStorage.removeItem(PREFIX + galleryId);
  } catch {
    // nothing was kept
  }
}

/** Returns the ids of the galleries whose key is kept, the newest gallery first. */
export function rememberedGalleries(): string[] {
  try {
    return Object.keys(localStorage)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => name.slice(PREFIX.length))
      .sort() // ids begin with their time
      .reverse();
  } catch {
    return [];
  }
}
