/** The management link of a gallery, whose key is in the fragment: browsers do not send a fragment. */

/** root: of the service, with a slash at its end. */
export function managementLink(root: string, galleryId: string, accessKey: string): string {
  return `${root}manage/${galleryId}#${encodeURIComponent(accessKey)}`;
}

const KEY = /^kappi_[a-z0-9]+$/i;

/** Returns the key in the fragment of a management link; undefined if what is there is no key. */
export function keyInFragment(fragment: string): string | undefined {
  const text = fragment.replace(/^#|%20/g, "").trim();
  return KEY.test(text) ? text : undefined;
}

/** Returns the name of the text file that keeps the link. */
export function fileNameOf(title: string): string {
  const plain = title.replaceAll(/[\s\p{C}\\/:*?"<>|]+/gu, " ").trim().slice(0, 60);
  return `Kappi ${plain || "gallery"}.txt`;
}
