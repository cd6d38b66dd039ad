/** The player of a film: its original if the browser plays it, else the rendition that the service makes. */

import { asProblem, type Item, type Playback, request } from "../api";
import { language } from "../i18n";
import { duration } from "../i18n/formats";
import { t } from "../i18n/lightbox";
import type { Collection } from "../gallery/collection.svelte";
import { GRID_PIXELS, isCounted, original, rendition, webAddress } from "../gallery/sources";
import { element } from "./slides";
import { playStream } from "./streams";

const ASK_AGAIN_MS = 2_000;
/** Answers after which another request may succeed. */
const PASSING: readonly number[] = [0, 429, 502, 503, 504];
/** Films that are longer are made in two sizes, unless the service is set to another length. */
const LONG_MS = 600_000;
type Form = "stream" | "file";
const percent = new Intl.NumberFormat(language, { style: "percent" });

/** Makes the player of a film. Its first frame and its length are shown before anything of it is fetched. */
export function makeFilm(collection: Collection, id: string): HTMLDivElement {
  const item = collection.items.get(id);
  const made = element("div", "slide-film");
  if (!item) {
    made.append(element("p", "", t("filmWithheld")));
  } else if (isLong(item)) {
    made.append(player(item, "none"));
    whenShown(made, () => stream(made, collection, id));
  } else {
    showOriginal(made, collection, id);
  }
  return made;
}

/** Shows a long film in the size that the network allows; the original, if it is not made yet in two sizes. */
async function stream(slide: HTMLElement, collection: Collection, id: string): Promise<void> {
  const asked = request<Playback>("GET", pathOf(id, "stream"), { access: collection.access });
  const answer = await asked.catch(() => undefined); // the original may be shown still
  const url = answer && "url" in answer ? webAddress(answer.url) : undefined;
  if (url === undefined) showOriginal(slide, collection, id);
  else showMade(slide, collection, id, { url, form: "stream", at: 0 });
}

function showOriginal(slide: HTMLElement, collection: Collection, id: string): void {
  const item = collection.items.get(id);
  const source = item && original(item);
  if (!item || !source) {
    whenShown(slide, () => prepare(slide, collection, id));
    return;
  }
  const film = player(item, isCounted(item) ? "none" : "metadata"); // where each use counts, only the viewer's play is one
  film.addEventListener("error", () => void goOn(film, slide, collection, id));
  film.addEventListener("loadedmetadata", () => {
    // A browser without the codec of the pictures may still play the sound.
    if (!film.videoWidth) whenShown(slide, () => prepare(slide, collection, id));
  });
  film.src = source;
  slide.replaceChildren(film);
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

const isLong = (item: Item): boolean => item.kind === "video" && (item.duration_ms ?? 0) > LONG_MS;

const pathOf = (id: string, form: Form): string =>
  `v1/media/${encodeURIComponent(id)}/${form === "stream" ? "playback.m3u8?signed=true" : "playback?redirect=false"}`;

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
async function prepare(
  slide: HTMLElement,
  collection: Collection,
  id: string,
  { at = 0, form = "stream" }: { at?: number; form?: Form } = {},
): Promise<void> {
  const words = element("p", "", t("filmPreparing", { percent: percent.format(0) }));
  words.setAttribute("role", "status");
  slide.replaceChildren(words);
  const item = collection.items.get(id);
  const made = await playable(slide, collection, id, { words, form: item && isLong(item) ? form : "file" });
  if (made) showMade(slide, collection, id, { ...made, at });
}

function showMade(
  slide: HTMLElement,
  collection: Collection,
  id: string,
  { url, form, at }: { url: string; form: Form; at: number },
): void {
  const item = collection.items.get(id);
  if (!item) return;
  const film = player(item, "metadata");
  const onfail = (): void => {
    // One that has played was paused until its URL expired.
    if (film.currentTime > 0) void prepare(slide, collection, id, { at: film.currentTime, form });
    else if (form === "stream") void prepare(slide, collection, id, { form: "file" });
    else slide.replaceChildren(element("p", "", t("filmNotPlayed")));
  };
  if (form === "stream") {
    void playStream(film, url, { at, onfail }).catch(onfail);
  } else {
    film.addEventListener("error", onfail);
    film.addEventListener("loadedmetadata", () => (film.currentTime = at), { once: true });
    film.src = url;
  }
  slide.replaceChildren(film);
}

/** Returns where the film is once it is made; undefined if it cannot be, or the viewer went on. */
async function playable(
  slide: HTMLElement,
  collection: Collection,
  id: string,
  { words, form }: { words: HTMLElement; form: Form },
): Promise<{ url: string; form: Form } | undefined> {
  for (;;) {
    if (!slide.isConnected) {
      whenShown(slide, () => prepare(slide, collection, id));
      return undefined;
    }
    try {
      const answer = await request<Playback>("GET", pathOf(id, form), { access: collection.access });
      const url = "url" in answer ? webAddress(answer.url) : undefined;
      if (url !== undefined) return { url, form };
      if ("progress" in answer) words.textContent = t("filmPreparing", { percent: percent.format(answer.progress) });
    } catch (failure) {
      const problem = asProblem(failure);
      if (problem.code === "film_not_long") {
        form = "file";
        continue;
      }
      if (!PASSING.includes(problem.status)) {
        const withheld = problem.code === "original_not_in_tier" || problem.code === "playback_not_in_tier";
        words.textContent = t(withheld ? "filmWithheld" : "filmNotPlayed");
        return undefined;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}
