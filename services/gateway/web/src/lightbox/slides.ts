/** What the lightbox shows of an item. */

import type { SlideData } from "photoswipe";
import type { Item } from "../api";
import { duration } from "../i18n/formats";
import { t } from "../i18n/lightbox";
import type { Collection } from "../gallery/collection.svelte";
import { placeholder } from "../gallery/placeholders";
import { GRID_PIXELS, isCounted, original, pictures, rendition } from "../gallery/sources";

export interface Slide extends SlideData {
  id: string;
  type: "image" | "film" | "words";
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

function element<K extends keyof HTMLElementTagNameMap>(name: K, className: string, text = ""): HTMLElementTagNameMap[K] {
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

/** Makes the player of a film. Its first frame and its length are shown before anything of it is fetched. */
export function makeFilm(collection: Collection, id: string): HTMLDivElement {
  const item = collection.items.get(id);
  const source = item && original(item);
  const made = element("div", "slide-film");
  if (!item || !source) {
    made.append(element("p", "", t("filmWithheld")));
    return made;
  }
  const film = element("video", "");
  film.controls = true;
  film.playsInline = true;
  film.preload = isCounted(item) ? "none" : "metadata"; // where each use counts, only the viewer's play is one
  film.setAttribute("aria-label", filmName(item));
  const poster = rendition(item, GRID_PIXELS)?.url;
  if (poster) film.poster = poster;
  film.addEventListener("error", () => void goOn(film, made, collection, id));
  film.src = source;
  made.append(film);
  return made;
}

const filmName = (item: Item): string =>
  [item.caption || item.filename, item.duration_ms ? duration(item.duration_ms) : ""].filter(Boolean).join(", ");

/** A film that was paused for long requests its next piece with an expired URL. */
async function goOn(film: HTMLVideoElement, slide: HTMLElement, collection: Collection, id: string): Promise<void> {
  const at = film.currentTime;
  const wasPlaying = at > 0;
  if (!collection.isAged(id)) {
    slide.replaceChildren(element("p", "", t("filmNotPlayed")));
    return;
  }
  await collection.renew(id).catch(() => {});
  const item = collection.items.get(id);
  const source = item && original(item);
  if (!source || !film.isConnected || collection.isAged(id)) return;
  film.src = source;
  film.currentTime = at;
  if (wasPlaying) film.play().catch(() => {});
}
