/** Asks for the gallery as soon as the script runs, while the words of the page are still being loaded. */

import { Problem } from "../api";
import { Collection } from "./collection.svelte";
import { codeOf } from "./place";

const code = codeOf(location.pathname);

export const collection = new Collection(code ?? "");

/** Returns the key of a contributor to a `drop` gallery; another request with it would be another view. */
function contributorKey(): string | undefined {
  try {
    return localStorage.getItem(`kappi.contributor-of.${code}`) ?? undefined;
  } catch {
    return undefined;
  }
}

if (code === undefined) collection.close(new Problem(404, "gallery_not_found"));
else {
  collection.access.contributorKey = contributorKey();
  void collection.open();
}
