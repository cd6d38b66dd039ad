/** What the lightbox shows of an item. */

import type { SlideData } from "photoswipe";
import { t } from "../i18n/lightbox";
import type { Collection } from "../gallery/collection.svelte";
import { placeholder } from "../gallery/placeholders";
import { GRID_PIXELS, pictures, rendition } from "../gallery/sources";

export interface Slide extends SlideData {
  id: string;
  type: "image" | "film" | "motion" | "words";
  words?: string;
}

/** Returns the slide of an item. failures: how many of its files could not be shown. */
export function slideOf(collection: Collection, id: string, failures: number): Slide {
  const item = collection.items.get(id);
  if (!item) return { id, type: "words", words: t("gone") };
  if (item.status !== "ready") return { id, type: "words", words: t("processing") };
  if (collection.isAged(id)) return { id, type: "words", words: "" };
  if (item.kind === "video") return { id, type: "film" };
  const source = pictures(item)[failures];
  if (!source) return { id, type: "words", words: t("notShown") };
  const msrc = rendition(item, GRID_PIXELS)?.url ?? placeholder(item.placeholder);
  return {
    id,
    type: "image",
    src: source.url,
    width: source.width,
    height: source.height,
    alt: item.caption || item.filename,
    ...(msrc === undefined ? {} : { msrc }),
  };
}

export function element<K extends keyof HTMLElementTagNameMap>(name: K, className: string, text = ""): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  if (text) made.dir = document.documentElement.dir;
  made.textContent = text;
  return made;
}

/** Makes a slide of words; without any it is one that is being loaded. */
export function makeWords(words: string): HTMLDivElement {
  const made = element("div", "slide-words");
  made.append(element("p", "", words));
  return made;
}
