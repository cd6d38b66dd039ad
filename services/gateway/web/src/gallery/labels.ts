/** What a tile says about an item beside its picture. */

import type { Item } from "../api";
import { t } from "../i18n/gallery";

/** Returns what kind of picture or film this is; undefined for a usual one. */
export function labelOf(item: Item): string | undefined {
  if (item.projection) return t(item.kind === "video" ? "spherical" : "panorama");
  return item.motion ? t("motion") : undefined;
}
