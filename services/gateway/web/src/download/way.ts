/** How files reach the viewer's disk. A link sends no password, and a page can hold no gallery in memory. */

import type { Item } from "../api";

/**
 * - `archive`: a link to the ZIP; the browser downloads it by itself.
 * - `file`: the ZIP, fetched with the password and written to a file that the viewer chose.
 * - `folder`: each file, written to a folder that the viewer chose.
 * - `links`: a link for each file, one after the other.
 */
export type Way = "archive" | "file" | "folder" | "links";

export interface Situation {
  items: readonly Item[];
  /** Whether these are all items of the gallery. */
  isAll: boolean;
  /** Whether the archive needs headers, which a link cannot send. */
  isProtected: boolean;
  canSaveFile: boolean;
  canOpenFolder: boolean;
}

export function wayOf({ items, isAll, isProtected, canSaveFile, canOpenFolder }: Situation): Way {
  if (items.length < 2) return "links";
  // The archive lacks items that are still being processed.
  const isWhole = isAll && items.every((item) => item.status === "ready");
  if (isWhole && !isProtected) return "archive";
  if (isWhole && canSaveFile) return "file";
  return canOpenFolder ? "folder" : "links";
}

const FORBIDDEN = /[\u0000-\u001f\u007f<>:"/\\|?*]/g;

/** Returns a name that no other file of the folder has. taken: in lower case; the name is added. */
export function freeName(filename: string, taken: Set<string>): string {
  const clean = filename.normalize("NFC").replaceAll(FORBIDDEN, "_").replace(/^\.+|[. ]+$/g, "") || "file";
  const dot = clean.lastIndexOf(".") > 0 ? clean.lastIndexOf(".") : clean.length;
  let name = clean;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) {
    name = `${clean.slice(0, dot)} (${number})${clean.slice(dot)}`;
  }
  taken.add(name.toLowerCase());
  return name;
}
