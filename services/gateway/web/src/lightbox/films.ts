/** The player of a film: its original if the browser plays it, else the rendition that the service makes. */

import { asProblem, type Item, type Playback, request } from "../api";
import { language } from "../i18n";
import { duration } from "../i18n/formats";
import { t } from "../i18n/lightbox";
import type { Collection } from "../gallery/collection.svelte";
import { GRID_PIXELS, isCounted, original, rendition, webAddress } from "../gallery/sources";
import { element } from "./slides";

const ASK_AGAIN_MS = 2_000;
/** Answers after which another request may succeed. */
const PASSING: readonly number[] = [0, 429, 502, 503, 504];
const percent = new Intl.NumberFormat(language, { style: "percent" });

/** Makes the player of a film. Its first frame and its length are shown before anything of it is fetched. */
export function makeFilm(collection: Collection, id: string): HTMLDivElement {
  const item = collection.items.get(id);
  const source = item && original(item);
  const made = element("div", "slide-film");
  if (!item) {
    made.append(element("p", "", t("filmWithheld")));
    return made;
  }
  if (!source) {
    whenShown(made, () => prepare(made, collection, id));
    return made;
  }
  const film = player(item, isCounted(item) ? "none" : "metadata"); // where each use counts, only the viewer's play is one
  film.addEventListener("error", () => void goOn(film, made, collection, id));
  film.addEventListener("loadedmetadata", () => {
    // A browser without the codec of the pictures may still play the sound.
    if (!film.videoWidth) whenShown(made, () => prepare(made, collection, id));
  });
  film.src = source;
  made.append(film);
  return made;
}

/** Makes the player of the film in a motion photo. */
export function makeMotion(collection: Collection, id: string): HTMLDivElement {
  const made = element("div", "slide-film");
  whenShown(made, () => prepare(made, collection, id));
  return made;
}

function player(item: Item, preload: "none" | "metadata"): HTMLVideoElement {
  const film = element("video", "");
  film.controls = true;
  film.playsInline = true;
  film.preload = preload;
  film.setAttribute("aria-label", filmName(item));
  const poster = rendition(item, GRID_PIXELS)?.url;
  if (poster) film.poster = poster;
  return film;
}

const filmName = (item: Item): string =>
  [item.caption || item.filename, item.duration_ms ? duration(item.duration_ms) : ""].filter(Boolean).join(", ");

/** A film that was paused for long requests its next piece with an expired URL. */
async function goOn(film: HTMLVideoElement, slide: HTMLElement, collection: Collection, id: string): Promise<void> {
  const at = film.currentTime;
  const wasPlaying = at > 0;
  if (!collection.isAged(id)) {
    whenShown(slide, () => prepare(slide, collection, id));
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

/** Does something once the slide is on the screen: neighbours are loaded before anyone wants to see them. */
function whenShown(slide: HTMLElement, work: () => Promise<void>): void {
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    void work();
  }).observe(slide);
}

/** Shows the film that the service makes for browsers, and how far it is meanwhile. at: where to go on. */
async function prepare(slide: HTMLElement, collection: Collection, id: string, at = 0): Promise<void> {
  const words = element("p", "", t("filmPreparing", { percent: percent.format(0) }));
  words.setAttribute("role", "status");
  slide.replaceChildren(words);
  const url = await playable(slide, collection, id, words);
  const item = collection.items.get(id);
  if (url === undefined || !item) return;
  const film = player(item, "metadata");
  film.addEventListener("error", () => {
    // One that has played was paused until its URL expired.
    if (film.currentTime > 0) void prepare(slide, collection, id, film.currentTime);
    else slide.replaceChildren(element("p", "", t("filmNotPlayed")));
  });
  film.addEventListener("loadedmetadata", () => (film.currentTime = at), { once: true });
  film.src = url;
  slide.replaceChildren(film);
}

/** Returns the address of the film once it is made; undefined if it cannot be, or the viewer went on. */
async function playable(
  slide: HTMLElement,
  collection: Collection,
  id: string,
  words: HTMLElement,
): Promise<string | undefined> {
  const path = `v1/media/${encodeURIComponent(id)}/playback?redirect=false`;
  for (;;) {
    if (!slide.isConnected) {
      whenShown(slide, () => prepare(slide, collection, id));
      return undefined;
    }
    try {
      const answer = await request<Playback>("GET", path, { access: collection.access });
      if ("url" in answer) return webAddress(answer.url);
      words.textContent = t("filmPreparing", { percent: percent.format(answer.progress) });
    } catch (failure) {
      const problem = asProblem(failure);
      if (!PASSING.includes(problem.status)) {
        const withheld = problem.code === "original_not_in_tier" || problem.code === "playback_not_in_tier";
        words.textContent = t(withheld ? "filmWithheld" : "filmNotPlayed");
        return undefined;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}
