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

/** Returns how a picture was taken, such as `1/250 s · ƒ/2.8 · ISO 640 · 35 mm (52 mm)`. */
export function exposureSettings(item: Item): string | undefined {
  const { exposure_time_s: time, aperture, iso, focal_length_mm: focal, focal_length_35mm: equivalent } = item.exposure ?? {};
  const millimetres = (length: number): string => `${Math.round(length * 10) / 10} mm`;
  const sameView = equivalent && equivalent !== focal ? millimetres(equivalent) : "";
  const parts = [
    time ? (time < 0.4 ? `1/${Math.round(1 / time)} s` : `${Math.round(time * 10) / 10} s`) : "",
    aperture ? `ƒ/${Math.round(aperture * 100) / 100}` : "",
    iso ? `ISO ${iso}` : "",
    focal ? millimetres(focal) + (sameView && ` (${sameView})`) : sameView && `(${sameView})`,
  ];
  return parts.filter(Boolean).join(" · ") || undefined;
}

/** Returns a place in degrees, such as `68.1234° N, 13.5678° E`. */
export function coordinates(latitude: number, longitude: number): string {
  const one = (value: number, positive: string, negative: string): string =>
    `${Math.abs(value).toFixed(4)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, "N", "S")}, ${one(longitude, "E", "W")}`;
}
