/** Joins the sidecars among the files of a page to their pictures. */

import { Problem } from "../api/problem";
import { ENDED, type Entry } from "./entry.svelte";
import { picturesOf } from "./sidecars";

const ALONE = "sidecar_without_picture";

/**
 * Joins new sidecars, and those that were chosen before their pictures, to pictures that are not signed. Those that
 * find none are refused. Returns the others.
 *
 * signing: files that are being declared.
 */
export function joinSidecars(entries: readonly Entry[], signing: ReadonlySet<Entry>): Entry[] {
  const alone = entries.filter(({ isSidecar, record, state, problem }) => {
    return isSidecar && record.of === undefined && (state === "waiting" || problem?.code === ALONE);
  });
  if (alone.length === 0) return [];
  const open = entries.filter((entry) => !ENDED.has(entry.state) && !entry.record.plan && !signing.has(entry));
  const pictures = picturesOf(alone, open);
  for (const sidecar of alone) {
    const picture = pictures.get(sidecar);
    if (picture) {
      if (sidecar.state === "refused") sidecar.restart();
      sidecar.join(picture);
    } else sidecar.end("refused", new Problem(0, ALONE));
  }
  return [...pictures.keys()];
}

/**
 * Joins sidecars of an earlier page to their pictures again. A sidecar whose picture is sent already goes on alone.
 *
 * Returns pictures of pairs of which one is signed, and sidecars that cannot be signed any more.
 */
export function rejoin(entries: readonly Entry[]): { torn: Entry[]; left: Entry[] } {
  const byKey = new Map(entries.map((entry) => [entry.record.key, entry]));
  const torn: Entry[] = [];
  const left: Entry[] = [];
  for (const sidecar of entries) {
    const { of, plan } = sidecar.record;
    if (of === undefined || sidecar.picture) continue;
    const picture = byKey.get(of);
    if (picture) sidecar.join(picture);
    else if (!plan) left.push(sidecar);
    if (picture && !picture.record.plan !== !plan) torn.push(picture);
  }
  return { torn, left };
}
