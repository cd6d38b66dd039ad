/** The management link of a gallery, whose key is in the fragment: browsers do not send a fragment. */

/** root: of the service, with a slash at its end. */
export function managementLink(root: string, galleryId: string, accessKey: string): string {
  return `${root}manage/${galleryId}#${encodeURIComponent(accessKey)}`;
}

/** Returns the key in the fragment of a management link; undefined if there is none. */
export function keyInFragment(fragment: string): string | undefined {
  const text = fragment.replace(/^#/, "");
  if (!text) return undefined;
  try {
    return decodeURIComponent(text).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Returns the name of the text file that keeps the link. */
export function fileNameOf(title: string): string {
  const plain = title.replaceAll(/[\s\p{C}\\/:*?"<>|]+/gu, " ").trim().slice(0, 60);
  return `Kappi ${plain || "gallery"}.txt`;
}
