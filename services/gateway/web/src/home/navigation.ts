import { writable } from "svelte/store";
import { address, ROOT } from "../api";
import { type Route, routeOf } from "./route";

/** The page that is shown. */
export const route = writable<Route>(here() ?? { name: "share" });

/** Opens a page of the application. path: below the service's root; it may have a fragment. */
export function open(path: string): void {
  history.pushState(null, "", address(path));
  show();
  scrollTo(0, 0);
}

/** Opens links of the application without loading them anew. Returns the function that ends it. */
export function followLinks(): () => void {
  document.addEventListener("click", onclick);
  addEventListener("popstate", show);
  return () => {
    document.removeEventListener("click", onclick);
    removeEventListener("popstate", show);
  };
}

function onclick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest("a");
  if (!link || link.target || link.hasAttribute("download") || !link.href.startsWith(ROOT)) return;
  const path = link.href.slice(ROOT.length);
  if (!routeOf(pathOnly(path))) return;
  event.preventDefault();
  open(path);
}

function show(): void {
  const next = here();
  if (next) route.set(next);
}

function here(): Route | null {
  return routeOf(pathOnly(location.href.slice(ROOT.length)));
}

function pathOnly(address: string): string {
  return address.split(/[?#]/)[0] ?? "";
}
