/** What the details of an item say, without a page. */

import type { Item } from "../api";

/**
 * Returns the time an item was taken, as its place's clocks showed it, with the offset if the device recorded it.
 *
 * Without an offset the time is the device's own, so no zone is named.
 */
export function takenAt(item: Item, language: string): string | undefined {
  if (!item.taken_at) return undefined;
  const offset = item.taken_offset_minutes ?? 0;
  const local = new Date(Date.parse(item.taken_at) + offset * 60_000);
  const text = local.toLocaleString(language, { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });
  return item.taken_offset_minutes == null ? text : `${text} (${zone(offset)})`;
}

function zone(minutes: number): string {
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  const rest = size % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

/** Returns the name of the device, without the maker's name twice. */
export function cameraName(item: Item): string | undefined {
  const { make, model } = item.camera ?? {};
  if (!make || !model) return model || make || undefined;
  return model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`;
}

/** Returns a place in degrees, such as `68.1234° N, 13.5678° E`. */
export function coordinates(latitude: number, longitude: number): string {
  const one = (value: number, positive: string, negative: string): string =>
    `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, "N", "S")}, ${one(longitude, "E", "W")}`;
}
