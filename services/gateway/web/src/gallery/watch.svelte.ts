import { untrack } from "svelte";
import type { Collection } from "./collection.svelte";

/** Calls back when the items of a collection change, for code that is no component. Returns what ends it. */
export function watchItems(collection: Collection, onchange: () => void): () => void {
  return $effect.root(() => {
    $effect(() => {
      void [collection.items, collection.ids];
      untrack(onchange);
    });
  });
}
