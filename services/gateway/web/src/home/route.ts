/** The pages of the application, and their paths below the service's root. */

export type Route = { name: "share" } | { name: "account" } | { name: "manage"; galleryId: string };

/** Returns the route of a path below the root, such as `manage/0197…`; null for a path of another page. */
export function routeOf(path: string): Route | null {
  if (path === "") return { name: "share" };
  if (path === "account") return { name: "account" };
  const found = /^manage\/([0-9a-f-]{36})\/?$/i.exec(path)?.[1];
  return found ? { name: "manage", galleryId: found.toLowerCase() } : null;
}

/** Returns the code in what was typed or pasted, a code or a whole link; null if there is none. */
export function codeOf(text: string): string | null {
  const last = text.trim().toLowerCase().replace(/[?#].*$/, "").replace(/\/+$/, "").split("/").pop() ?? "";
  return /^[a-z0-9]{1,64}$/.test(last) ? last : null;
}
