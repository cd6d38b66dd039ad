/** The buttons of the lightbox that PhotoSwipe does not bring, the counter and the details. */

import type PhotoSwipe from "photoswipe";
import { mount, unmount } from "svelte";
import type { Item } from "../api";
import type { Collection } from "../gallery/collection.svelte";
import { share } from "../gallery/share";
import { isCounted, original } from "../gallery/sources";
import { t as common } from "../i18n/common";
import { t } from "../i18n/lightbox";
import Details from "./Details.svelte";
import type { Motion } from "./motion";

interface Context {
  collection: Collection;
  current: () => string;
  ondownload: (id: string) => void;
  onturn: (id: string) => void;
  motion: Motion;
}

/** Largest file that is sent by the share sheet together with the link. */
const SHARED_BYTES = 8e6;
const SHARED_MS = 3000;
const ICONS = {
  details: "M16 6a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm1.2 15h-2.4v-6.6h2.4zm0-8.6h-2.4V10h2.4z",
  download: "M14.8 6h2.4v10.4l3.5-3.5 1.7 1.7-6.4 6.4-6.4-6.4 1.7-1.7 3.5 3.5zM7 23.2h18v2.4H7z",
  film: "M16 6a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm-2.8 5.2 7.6 4.8-7.6 4.8z",
  share: "M22 19.6a3.4 3.4 0 0 0-2.5 1.1l-6.7-3.9a3.5 3.5 0 0 0 0-1.6l6.7-3.9A3.4 3.4 0 1 0 18.6 9l-6.8 4a3.4 3.4 0 1 0 0 6l6.8 4a3.4 3.4 0 1 0 3.4-3.4z",
} as const;

type Name = keyof typeof ICONS;

const iconOf = (name: Name) => ({
  isCustomSVG: true as const,
  inner: `<path d="${ICONS[name]}" id="pswp__icn-${name}"/>`,
  outlineID: `pswp__icn-${name}`,
});

/** Returns whether the details are shown. */
export const hasPanel = (box: PhotoSwipe): boolean => box.element?.classList.contains("has-details") ?? false;

export function addButtons(box: PhotoSwipe, context: Context): void {
  box.on("uiRegister", () => {
    addCounter(box, context);
    const toggle = addDetails(box, context);
    addMotion(box, context);
    button(box, "details", 7, t("details"), toggle);
    button(box, "share", 8, t("share"), () => void send(box, context));
    button(box, "download", 9, t("download"), () => context.ondownload(context.current()));
  });
  box.on("change", () => {
    const offered = context.collection.items.get(context.current())?.original;
    box.element?.classList.toggle("has-no-original", !offered);
  });
}

function button(box: PhotoSwipe, name: Name, order: number, title: string, onClick: () => void): void {
  box.ui?.registerElement({ name, order, title, ariaLabel: title, isButton: true, html: iconOf(name), onClick });
}

function addCounter(box: PhotoSwipe, { collection, current }: Context): void {
  box.ui?.registerElement({
    name: "place",
    order: 5,
    onInit: (element) => {
      const told = document.createElement("p");
      told.className = "unseen";
      told.setAttribute("role", "status");
      box.element?.append(told);
      box.on("change", () => {
        const item = collection.items.get(current());
        const total = collection.next ? (collection.gallery?.item_count ?? box.getNumItems()) : box.getNumItems();
        element.textContent = `${box.currIndex + 1} / ${total}`;
        told.textContent = t("position", { n: box.currIndex + 1, total, name: item?.caption || item?.filename || "" });
      });
    },
  });
}

/** Adds the panel of the details. Returns what shows or hides it. */
function addDetails(box: PhotoSwipe, { collection, current, onturn }: Context): () => void {
  const panel = document.createElement("aside");
  panel.className = "details";
  panel.hidden = true;
  panel.setAttribute("aria-label", t("details"));
  panel.tabIndex = 0; // it scrolls
  panel.dir = document.documentElement.dir;
  let shown: Record<string, unknown> | undefined;
  const fill = (): void => {
    if (shown) void unmount(shown);
    const item = collection.items.get(current());
    if (!item || panel.hidden) {
      shown = undefined;
      return;
    }
    const partner = collection.items.get(item.raw_partner_id ?? "");
    shown = mount(Details, { target: panel, props: { item, gallery: collection.gallery, partner, onturn } });
  };
  const toggle = (): void => {
    panel.hidden = !panel.hidden;
    box.element?.classList.toggle("has-details", !panel.hidden);
    box.element?.querySelector(".pswp__button--details")?.setAttribute("aria-expanded", String(!panel.hidden));
    fill();
    box.updateSize(true);
  };
  box.on("afterInit", () => {
    box.element?.querySelector(".pswp__button--details")?.setAttribute("aria-expanded", "false");
    box.element?.append(panel);
  });
  box.on("change", fill);
  box.on("destroy", () => {
    panel.hidden = true;
    fill();
  });
  box.on("keydown", ({ originalEvent }) => {
    if (originalEvent.key === "i" && !originalEvent.ctrlKey && !originalEvent.metaKey) toggle();
  });
  return toggle;
}

/** Adds what plays the film of a motion photo in place of its picture, and shows the picture again. */
function addMotion(box: PhotoSwipe, { collection, current, motion }: Context): void {
  button(box, "film", 7, t("playFilm"), () => motion.toggle(current()));
  const tell = (): void => {
    box.element?.classList.toggle("has-film", collection.items.get(current())?.motion === true);
    box.element?.querySelector(".pswp__button--film")?.setAttribute("aria-pressed", String(motion.plays(current())));
  };
  motion.onchange = tell;
  box.on("change", tell);
}

async function send(box: PhotoSwipe, { collection, current }: Context): Promise<void> {
  const item = collection.items.get(current());
  if (!item) return;
  const url = `${(collection.gallery?.url ?? location.href).split("#")[0]}#${item.id}`;
  const outcome = await share(item.caption || item.filename, url, await fileOf(item));
  const words = { shared: "", cancelled: "", copied: t("linkCopied"), failed: common("failed") }[outcome];
  if (words) say(box, words);
}

/** Returns the file itself if the browser can send it, and it is small, and fetching it is not counted. */
async function fileOf(item: Item): Promise<File | undefined> {
  const url = original(item);
  const probe = new File([], item.filename, { type: item.content_type });
  if (!url || isCounted(item) || item.size > SHARED_BYTES || !navigator.canShare?.({ files: [probe] })) return undefined;
  try {
    const answer = await fetch(url, { credentials: "omit", signal: AbortSignal.timeout(SHARED_MS) });
    return answer.ok ? new File([await answer.blob()], item.filename, { type: item.content_type }) : undefined;
  } catch {
    return undefined;
  }
}

function say(box: PhotoSwipe, words: string): void {
  const told = document.createElement("p");
  told.className = "told";
  told.dir = document.documentElement.dir;
  told.setAttribute("role", "status");
  box.element?.append(told);
  told.textContent = words;
  setTimeout(() => told.remove(), 4000);
}
