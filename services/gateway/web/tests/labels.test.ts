import { expect, test, vi } from "vitest";
import { itemOf } from "./item";

vi.mock("../src/i18n/gallery", () => ({ t: (key: string) => key }));
const { labelOf } = await import("../src/gallery/labels");

test.each([
  ["a usual picture", itemOf(), undefined],
  ["a motion photo", itemOf({ motion: true }), "motion"],
  ["a panorama", itemOf({ projection: "cylindrical" }), "panorama"],
  ["a panorama with a film in it", itemOf({ projection: "equirectangular", motion: true }), "panorama"],
  ["a spherical film", itemOf({ kind: "video", projection: "equirectangular" }), "spherical"],
  ["an item of an older service", itemOf({ projection: null, motion: false }), undefined],
])("a tile says what it is: %s", (_, item, label) => {
  expect(labelOf(item)).toBe(label);
});
