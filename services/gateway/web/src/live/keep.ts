/** Keeps a collection up to date by its live stream. */

import { Problem } from "../api";
import type { Collection } from "../gallery/collection.svelte";
import type { Told } from "./parse";
import { follow } from "./stream";

/** Events of one moment, such as those of an upload of many files, are taken up together. */
const GATHER_MS = 80;
/** All viewers hear of a change at once, and should not ask at once. */
const SPREAD_MS = 2000;
/** The same for new items, which should come soon. */
const ITEM_SPREAD_MS = 500;
/** Age of the first page above which items may have come before the stream began. */
const LATE_MS = 2000;

/** Starts to follow. onarrive: is called with new items once they are loaded. Returns what ends it. */
export function keepCurrent(collection: Collection, onarrive?: (ids: string[]) => void): () => void {
  let arrived = new Set<string>();
  let gathering: ReturnType<typeof setTimeout> | undefined;
  let refreshing: ReturnType<typeof setTimeout> | undefined;
  let ending: ReturnType<typeof setTimeout> | undefined;
  let isFirst = true;

  async function takeUp(): Promise<void> {
    gathering = undefined;
    const ids = [...arrived];
    arrived = new Set();
    const known = new Set(ids.filter((id) => collection.items.has(id)));
    await collection.arrive(ids);
    const fresh = ids.filter((id) => collection.items.has(id) && !known.has(id));
    if (fresh.length) onarrive?.(fresh);
  }

  function reset(): void {
    // The first one comes with every new stream. Usually the gallery was loaded at the same moment; what was being
    // processed then may have become ready in between.
    const now = Date.now();
    if (isFirst) void collection.opening.then(() => collection.catchUp(now - collection.loadedAt > LATE_MS));
    else void collection.open();
    isFirst = false;
  }

  function hear({ kind, data }: Told): void {
    const id = (data as { id?: unknown } | undefined)?.id;
    if (kind === "reset") reset();
    if (kind === "item_ready" && typeof id === "string") {
      arrived.add(id);
      gathering ??= setTimeout(takeUp, GATHER_MS + Math.random() * ITEM_SPREAD_MS);
    }
    if (kind === "item_deleted" && typeof id === "string") {
      arrived.delete(id);
      collection.remove(id);
    }
    if (kind === "gallery_updated") {
      refreshing ??= setTimeout(() => {
        refreshing = undefined;
        void collection.refresh();
      }, Math.random() * SPREAD_MS);
    }
    if (kind === "gallery_deleted") {
      stop();
      ending ??= setTimeout(() => void collection.end(new Problem(404, "gallery_not_found")), Math.random() * SPREAD_MS);
    }
  }

  const stop = follow({
    code: collection.code,
    access: () => ({ password: collection.access.password }), // a contributor is told no more than others
    ontold: hear,
    onend: (problem) => void collection.end(problem),
  });
  return () => {
    stop();
    clearTimeout(gathering);
    clearTimeout(refreshing);
    clearTimeout(ending);
  };
}
