import { get, writable } from "svelte/store";
import { address, ROOT } from "../api";
import { isUnfinished, mayLeave } from "../upload/leaving";
import { type Route, routeOf } from "./route";

/** The page that is shown. */
export const route = writable<Route>(here() ?? { name: "share" });

/** The entry of the browser's history that belongs to it. */
let entry = entryNow();
let isLeaving = false;

/** Opens a page of the application, unless the person stays. path: below the service's root; it may have a fragment. */
export async function open(path: string): Promise<void> {
  if (!isShown(routeOf(pathOnly(path))) && !(await mayLeave())) return;
  history.pushState(null, "", address(path));
  show();
  scrollTo(0, 0);
}

/** Opens links of the application without loading them anew. Returns the function that ends it. */
export function followLinks(): () => void {
  document.addEventListener("click", onclick);
  addEventListener("popstate", onpopstate);
  return () => {
    document.removeEventListener("click", onclick);
    removeEventListener("popstate", onpopstate);
  };
}

/** Keeps something with the history entry of the page, so that a reload finds it. The address loses its fragment. */
export function keepState(state: unknown): void {
  history.replaceState(state, "", location.pathname + location.search);
  entry = entryNow();
}

function onclick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest("a");
  if (!link || link.target || link.hasAttribute("download") || !link.href.startsWith(ROOT)) return;
  const path = link.href.slice(ROOT.length);
  if (!routeOf(pathOnly(path))) return;
  event.preventDefault();
  void open(path);
}

async function onpopstate(): Promise<void> {
  if (isLeaving || isShown(here()) || !isUnfinished()) {
    isLeaving = false;
    return show();
  }
  history.pushState(entry.state, "", entry.address); // the page stays until the person has answered
  if (!(await mayLeave())) return;
  isLeaving = true;
  history.back();
}

function show(): void {
  entry = entryNow();
  const next = here();
  if (next) route.set(next);
}

function entryNow(): { address: string; state: unknown } {
  return { address: location.href, state: history.state };
}

function isShown(next: Route | null): boolean {
  return JSON.stringify(next) === JSON.stringify(get(route));
}

function here(): Route | null {
  return routeOf(pathOnly(location.href.slice(ROOT.length)));
}

function pathOnly(address: string): string {
  return address.split(/[?#]/)[0] ?? "";
}
