import { expect, test } from "vitest";
import { freeName, wayOf } from "../src/download/way";
import { between, withId } from "../src/gallery/order";
import { codeOf, isWall, itemIn } from "../src/gallery/place";
import { cameraName, coordinates, exposureSettings, takenAt } from "../src/lightbox/facts";
import { Playlist } from "../src/wall/playlist";
import { itemOf } from "./item";

test.each([
  ["/g/k7dm", "k7dm"],
  ["/kappi/g/K7DM%20", "k7dm"],
  ["/g/%E0%A4%A", undefined],
  ["/g/a-b", undefined],
])("the address %s has the code %s", (path, code) => {
  expect(codeOf(path)).toBe(code);
});

test("the fragment names an item, and the query the slide show", () => {
  expect([itemIn("#019c-1"), itemIn("#"), itemIn("#a b"), itemIn("")]).toEqual(["019c-1", undefined, undefined, undefined]);
  expect([isWall("?wall"), isWall("?wall=1"), isWall("")]).toEqual([true, true, false]);
});

test("a new item comes into its place if the order is that of the ids, else to the end", () => {
  expect(withId(["1", "3"], "2")).toEqual(["1", "2", "3"]);
  expect(withId(["1", "2"], "3")).toEqual(["1", "2", "3"]);
  expect(withId(["3", "1"], "2")).toEqual(["3", "1", "2"]);
  expect(withId(["1", "2"], "2")).toEqual(["1", "2"]);
});

test("a range of items goes in both directions", () => {
  expect([between(["1", "2", "3"], "1", "3"), between(["1", "2", "3"], "3", "2")]).toEqual([["1", "2", "3"], ["2", "3"]]);
  expect(between(["1"], "gone", "1")).toEqual(["1"]);
});

const two = [itemOf(), itemOf()];
const able = { canSaveFile: true, canOpenFolder: true };
test.each([
  ["one", { items: [itemOf()], isAll: true, isProtected: false, ...able }, "links"],
  ["all", { items: two, isAll: true, isProtected: false, ...able }, "archive"],
  ["all, with a password", { items: two, isAll: true, isProtected: true, ...able }, "file"],
  ["all, with a password, without pickers", { items: two, isAll: true, isProtected: true, canSaveFile: false, canOpenFolder: false }, "links"],
  ["all, not all ready", { items: [itemOf(), itemOf({ status: "processing" })], isAll: true, isProtected: false, ...able }, "folder"],
  ["a selection", { items: two, isAll: false, isProtected: false, ...able }, "folder"],
  ["a selection, without pickers", { items: two, isAll: false, isProtected: false, canSaveFile: false, canOpenFolder: false }, "links"],
] as const)("the way of %s", (_, situation, way) => {
  expect(wayOf(situation)).toBe(way);
});

test("names of files are safe, and none is used twice", () => {
  const taken = new Set<string>();
  const names = ["a.jpg", "A.jpg", "../../etc/passwd", "..", "a:b?.jpg"].map((name) => freeName(name, taken));
  expect(names).toEqual(["a.jpg", "A (2).jpg", "_.._etc_passwd", "file", "a_b_.jpg"]);
});

test("the time an item was taken is that of its place, with the zone if it is known", () => {
  const taken_at = "2026-07-01T06:15:00Z";
  expect(takenAt(itemOf({ taken_at, taken_offset_minutes: 120 }), "en-GB")).toBe("1 July 2026 at 08:15 (UTC+2)");
  expect(takenAt(itemOf({ taken_at, taken_offset_minutes: -570 }), "en-GB")).toBe("30 June 2026 at 20:45 (UTC−9:30)");
  expect(takenAt(itemOf({ taken_at, taken_offset_minutes: null }), "en-GB")).toBe("1 July 2026 at 06:15");
  expect(takenAt(itemOf(), "en-GB")).toBeUndefined();
});

test("a camera is named once, a place in degrees", () => {
  const named = (make: string | null, model: string | null) => cameraName(itemOf({ camera: { make, model } }));
  expect([named("Canon", "Canon EOS R5"), named("Fujifilm", "X-T5"), named(null, "X-T5"), named(null, null)]).toEqual([
    "Canon EOS R5",
    "Fujifilm X-T5",
    "X-T5",
    undefined,
  ]);
  expect(coordinates(-33.86, 151.2093)).toBe("33.8600° S, 151.2093° E");
});

test("the settings of a picture are in one line, as far as they are known", () => {
  const none = { lens: null, exposure_time_s: null, aperture: null, iso: null, focal_length_mm: null, focal_length_35mm: null };
  const line = (known: object) => exposureSettings(itemOf({ exposure: { ...none, ...known } }));
  expect(
    line({ exposure_time_s: 0.004, aperture: 2.8, iso: 640, focal_length_mm: 6.86, focal_length_35mm: 24 }),
  ).toBe("1/250 s · ƒ/2.8 · ISO 640 · 6.9 mm (24 mm)");
  expect(line({ exposure_time_s: 30, focal_length_mm: 50, focal_length_35mm: 50 })).toBe("30 s · 50 mm");
  expect([line({ lens: "50 mm" }), exposureSettings(itemOf({}))]).toEqual([undefined, undefined]);
});

test("a slide show goes round, and shows new pictures first", () => {
  const list = new Playlist();
  const turns = (count: number, ids: string[]) => Array.from({ length: count }, () => list.next(ids));
  expect(turns(4, ["a", "b", "c"])).toEqual(["a", "b", "c", "a"]);
  list.add(["d", "e"]);
  expect(turns(4, ["a", "b", "c", "d", "e"])).toEqual(["d", "e", "b", "c"]);
  expect(list.previous(["a", "b", "c", "d", "e"])).toBe("b");
  list.add(["gone"]);
  expect(turns(2, ["b"])).toEqual(["b", "b"]);
  expect(list.next([])).toBeUndefined();
});
