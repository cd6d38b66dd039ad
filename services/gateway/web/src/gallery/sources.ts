/** Which file of an item is shown where. */

import type { Item } from "../api";

export const GRID_PIXELS = 400;
export const SCREEN_PIXELS = 2048;
/** Originals that every browser shows. */
const SHOWN_AS_THEY_ARE: readonly string[] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/** Size up to which an original is shown instead of a rendition. */
const SHOWN_BYTES = 2e6;

export interface Source {
  url: string;
  width: number;
  height: number;
}

const ratioOf = (item: Item): number => (item.width && item.height ? item.width / item.height : 1);

/** Returns the width by the height, also of an item that is not processed yet. */
export const tileRatio = (item: Item): number => (item.width && item.height ? item.width / item.height : 4 / 3);

/** Returns an address if it is one of the web's: scripts never run from it. */
export function webAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    const { protocol, href } = new URL(text, document.baseURI);
    return protocol === "https:" || protocol === "http:" ? href : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the original's address; undefined if the tier withholds it. */
export const original = (item: Item): string | undefined => webAddress(item.original?.url);

/** Returns whether each use of an original counts: then its address is at the gateway (ADR 0053). */
export const isCounted = (item: Item): boolean => /\/v1\/media\//.test(item.original?.url ?? "");

/** Returns the highest rendition that is not above a height, else the lowest. The tier decides which there are. */
export function rendition(item: Item, height: number): Source | undefined {
  const made = Object.entries(item.renditions)
    .map(([size, found]) => ({ pixels: Number(size.split("x").pop()), url: webAddress(found.url) }))
    .filter((one): one is { pixels: number; url: string } => one.pixels > 0 && one.url !== undefined)
    .sort((one, other) => one.pixels - other.pixels);
  const best = made.filter((one) => one.pixels <= height).at(-1) ?? made[0];
  if (!best) return undefined;
  const shown = item.height ? Math.min(best.pixels, item.height) : best.pixels;
  return { url: best.url, width: Math.round(shown * ratioOf(item)), height: shown };
}

/** Returns the files that show a picture on a screen, the best first. */
export function pictures(item: Item): Source[] {
  const url = SHOWN_AS_THEY_ARE.includes(item.content_type) && !isCounted(item) ? original(item) : undefined;
  const full = url && { url, width: item.width ?? SCREEN_PIXELS, height: item.height ?? SCREEN_PIXELS };
  const isSmall = item.size <= SHOWN_BYTES || item.content_type === "image/gif";
  const screen = rendition(item, SCREEN_PIXELS);
  const found = full && isSmall ? [full, screen] : [screen, full];
  return [...found, rendition(item, GRID_PIXELS)].filter((one): one is Source => Boolean(one));
}
