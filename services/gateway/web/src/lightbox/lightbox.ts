/** One item at a time over the whole window. PhotoSwipe has the gestures, keys and preloading of neighbours. */

import PhotoSwipe from "photoswipe";
import "photoswipe/style.css";
import "./lightbox.css";
import { t as common } from "../i18n/common";
import { t } from "../i18n/lightbox";
import type { Collection } from "../gallery/collection.svelte";
import { watchItems } from "../gallery/watch.svelte";
import { addButtons, hasPanel } from "./buttons";
import { makeFilm } from "./films";
import { Motion } from "./motion";
import { makeWords, type Slide, slideOf } from "./slides";
import { LEFT } from "./streams";

export interface Options {
  collection: Collection;
  id: string;
  onturn: (id: string) => void;
  /** id: of the item that was shown last. */
  onclose: (id: string) => void;
  ondownload: (id: string) => void;
}

export interface Lightbox {
  close: () => void;
  turn: (id: string) => void;
}

/** Items before the end of what is loaded at which more are loaded. */
const AHEAD = 5;

/** Opens the lightbox. */
export function open(options: Options): Lightbox {
  const { collection, id } = options;
  const ids = [...collection.ids];
  const failures = new Map<string, number>();
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const box: PhotoSwipe = new PhotoSwipe({
    index: Math.max(ids.indexOf(id), 0),
    bgOpacity: 1,
    counter: false,
    loop: false,
    preload: [1, 2],
    showHideAnimationType: isStill ? "none" : "fade",
    ...(isStill ? { zoomAnimationDuration: false as const } : {}),
    returnFocus: false,
    errorMsg: t("notShown"),
    closeTitle: common("close"),
    zoomTitle: t("zoom"),
    arrowPrevTitle: t("previous"),
    arrowNextTitle: t("next"),
    paddingFn: (viewport) => ({ top: 0, bottom: 0, left: 0, right: hasPanel(box) && viewport.x > 900 ? 340 : 0 }),
  });
  const current = (): string => ids[box.currIndex] ?? id;
  box.addFilter("numItems", () => ids.length);
  const motion = new Motion((shown) => box.refreshSlideContent(ids.indexOf(shown)));
  box.addFilter("itemData", (_, index): Slide => {
    const shown = ids[index] ?? "";
    return motion.plays(shown) ? { id: shown, type: "motion" } : slideOf(collection, shown, failures.get(shown) ?? 0);
  });
  box.addFilter("placeholderSrc", (_, content) => content.data.msrc ?? false);
  addContents(box, collection, motion);
  const turn = (other: string): void => {
    const index = ids.indexOf(other);
    if (index >= 0 && index !== box.currIndex) box.goTo(index);
  };
  addButtons(box, { collection, current, motion, ondownload: options.ondownload, onturn: turn });
  box.on("change", () => motion.leave(current()));
  mendFailures(box, { collection, failures });
  followTurns(box, { collection, ids, current, onturn: options.onturn });
  const stopWatching = watchItems(collection, follow(box, collection, ids));
  box.on("openingAnimationEnd", () => box.updateSize(true)); // the window may have changed while it opened
  box.on("close", () => {
    stopWatching();
    options.onclose(current());
  });
  box.init();
  if (box.element) {
    box.element.setAttribute("aria-label", t("viewer"));
    box.element.dir = "ltr"; // positions are physical in PhotoSwipe
  }
  return {
    close: () => {
      if (box.opener.isOpen) box.close();
      else box.on("openingAnimationEnd", () => box.close()); // PhotoSwipe does not close while it opens
    },
    turn,
  };
}

/** Adds the slides that are no pictures. */
function addContents(box: PhotoSwipe, collection: Collection, motion: Motion): void {
  box.on("contentLoad", (event) => {
    const { content } = event;
    const { id, type, words } = content.data as Slide;
    if (type === "image") return;
    event.preventDefault();
    if (type === "motion") content.element = motion.slide(collection, id);
    else content.element = type === "film" ? makeFilm(collection, id) : makeWords(words ?? "");
    content.state = "loading";
    content.onLoaded();
    const isWaiting = type === "words" && !words;
    if (isWaiting) void collection.renew(id).catch(() => {}).then(() => refresh(box, collection, content.index, id));
  });
  box.on("contentDeactivate", ({ content }) => content.element?.querySelector("video")?.pause());
  box.on("contentDestroy", ({ content }) => content.element?.querySelector("video")?.dispatchEvent(new Event(LEFT)));
  box.addFilter("isContentZoomable", (isZoomable, content) => isZoomable && content.data.type === "image");
  // The player's own controls take the pointer and the arrow keys.
  box.on("pointerDown", (event) => {
    if (event.originalEvent.target instanceof HTMLVideoElement && event.originalEvent.pointerType === "mouse") event.preventDefault();
  });
  box.addFilter("preventPointerEvent", (isPrevented, event) => isPrevented && !isOwn(event.target));
  box.on("keydown", (event) => {
    if (isOwn(event.originalEvent.target) && /^Arrow|^ $/.test(event.originalEvent.key)) event.preventDefault();
  });
}

const isOwn = (target: EventTarget | null): boolean => target instanceof Element && target.closest("video, .details") !== null;

function refresh(box: PhotoSwipe, collection: Collection, index: number, id: string): void {
  if (!box.isDestroying && !collection.isAged(id)) box.refreshSlideContent(index);
}

/** Tries the next file of an item if one cannot be shown, and new URLs if they have expired. */
function mendFailures(
  box: PhotoSwipe,
  { collection, failures }: { collection: Collection; failures: Map<string, number> },
): void {
  box.on("loadError", ({ content }) => {
    const { id } = content.data as Slide;
    if (collection.isAged(id)) {
      void collection.renew(id).catch(() => {}).then(() => refresh(box, collection, content.index, id));
      return;
    }
    failures.set(id, (failures.get(id) ?? 0) + 1);
    queueMicrotask(() => refresh(box, collection, content.index, id));
  });
}

function followTurns(
  box: PhotoSwipe,
  { collection, ids, current, onturn }: { collection: Collection; ids: string[]; current: () => string; onturn: (id: string) => void },
): void {
  box.on("change", () => {
    onturn(current());
    if (collection.next && ids.length - box.currIndex <= AHEAD) void collection.reach(ids.length + 1).catch(() => {});
  });
}

/** Returns what takes up changes of the gallery while the lightbox is open: slides keep their places. */
function follow(box: PhotoSwipe, collection: Collection, ids: string[]): () => void {
  const known = new Set(ids);
  let before = collection.items;
  return () => {
    const now = collection.items;
    const count = ids.length;
    for (const id of collection.ids) if (!known.has(id)) ids.push(id);
    for (const id of ids.slice(count)) known.add(id);
    for (let index = Math.max(box.currIndex - 1, 0); index <= box.currIndex + 1 && index < count; index += 1) {
      const id = ids[index] ?? "";
      if (now.has(id) !== before.has(id) || now.get(id)?.status !== before.get(id)?.status) box.refreshSlideContent(index);
    }
    before = now;
    if (ids.length === count || !box.element) return;
    const [, , next] = box.mainScroll.itemHolders;
    if (box.currIndex === count - 1 && next) box.setContent(next, count);
    box.dispatch("change"); // the counter and the arrows
  };
}
