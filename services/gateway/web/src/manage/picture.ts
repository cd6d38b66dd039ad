import type { Item } from "../api";

/** Returns the URL of the smallest rendition that is at least so high, else of the largest; null without any. */
export function pictureOf(item: Item, height: number): string | null {
  const sizes = Object.keys(item.renditions)
    .filter((size) => /^\d+$/.test(size))
    .map(Number)
    .sort((one, other) => one - other);
  const size = sizes.find((size) => size >= height) ?? sizes.at(-1);
  return size === undefined ? null : (item.renditions[size]?.url ?? null);
}
