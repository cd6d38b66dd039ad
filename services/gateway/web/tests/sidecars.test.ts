import { expect, test } from "vitest";
import { Problem } from "../src/api/problem";
import { type KeptFile, withoutSidecars } from "../src/upload/database";
import { Entry, totals } from "../src/upload/entry.svelte";
import { contentType } from "../src/upload/formats";
import { joinSidecars, rejoin } from "../src/upload/joining";
import { inOneCall, picturesOf } from "../src/upload/sidecars";

const PLAN = { id: "u", mediaId: "m", method: "single" as const, partSize: 0 };

function entry(name: string, more: Partial<KeptFile> = {}): Entry {
  const type = contentType({ name, type: "" }) ?? "";
  const record = { key: name, galleryId: "g", name, size: 100, type, lastModified: 1, keptAt: 0, etags: {} };
  return new Entry({ ...record, ...more }, new File(["x".repeat(100)], name));
}

test.each([
  ["IMG_1.xmp", ["IMG_1.CR3"], "IMG_1.CR3"],
  ["img_1.XMP", ["IMG_1.cr3", "IMG_2.cr3"], "IMG_1.cr3"],
  ["IMG_1.xmp", ["IMG_1.JPG", "IMG_1.CR3"], "IMG_1.CR3"],
  ["IMG_1.JPG.xmp", ["IMG_1.JPG", "IMG_1.CR3"], "IMG_1.JPG"],
  ["IMG_1.xmp", ["IMG_1.JPG", "IMG_1.MOV"], "IMG_1.JPG"],
  ["IMG_1.xmp", ["IMG_1.JPG", "IMG_1.HEIC"], undefined],
  ["IMG_1.xmp", ["IMG_1.MOV"], undefined],
  ["IMG_1.xmp", ["IMG_10.CR3"], undefined],
])("%s beside %j belongs to %s", (sidecar, names, picture) => {
  const [found] = picturesOf([entry(sidecar)], names.map((name) => entry(name))).values();
  expect(found?.record.name).toBe(picture);
});

test("a picture has one sidecar", () => {
  const found = picturesOf([entry("a.xmp"), entry("a.CR3.xmp")], [entry("a.CR3")]);
  expect([...found.keys()].map(({ record }) => record.name)).toEqual(["a.xmp"]);
});

test("one that was chosen before its picture joins it, and one without a picture is refused", () => {
  const entries = [entry("a.xmp"), entry("b.xmp")];
  expect(joinSidecars(entries, new Set())).toEqual([]);
  expect(entries.map(({ state, problem }) => [state, problem?.code])).toEqual([
    ["refused", "sidecar_without_picture"],
    ["refused", "sidecar_without_picture"],
  ]);

  const picture = entry("a.CR3");
  expect(joinSidecars([...entries, picture], new Set())).toEqual([entries[0]]);
  expect([entries[0]?.state, entries[0]?.record.of, picture.sidecar]).toEqual(["waiting", "a.CR3", entries[0]]);
  expect(entries[1]?.state).toBe("refused");
});

test("a picture that is signed already takes no sidecar", () => {
  const signing = entry("a.CR3");
  const entries = [signing, entry("b.CR3", { plan: PLAN }), entry("a.xmp"), entry("b.xmp")];
  expect(joinSidecars(entries, new Set([signing]))).toEqual([]);
});

test("no call has more files than it may, and none tears a pair apart", () => {
  const pictures = ["a.CR3", "b.CR3", "c.CR3"].map((name) => entry(name));
  const sidecars = ["a.xmp", "b.xmp"].map((name) => entry(name));
  joinSidecars([...pictures, ...sidecars], new Set());
  const names = (most: number, isDeclared = true): string[][] =>
    inOneCall<Entry, Entry>(pictures, most, () => isDeclared).map((group) => group.map(({ record }) => record.name));
  expect(names(5)).toEqual([["a.CR3", "a.xmp"], ["b.CR3", "b.xmp"], ["c.CR3"]]);
  expect(names(3)).toEqual([["a.CR3", "a.xmp"]]);
  expect(names(3, false)).toEqual([["a.CR3"], ["b.CR3"], ["c.CR3"]]);
});

test("after a reload pairs are found again, and torn ones are declared anew", () => {
  const whole = [entry("a.CR3", { plan: PLAN }), entry("a.xmp", { of: "a.CR3", plan: PLAN })];
  const torn = [entry("b.CR3", { plan: PLAN }), entry("b.xmp", { of: "b.CR3" })];
  const sent = entry("c.xmp", { of: "c.CR3", plan: PLAN });
  const lost = entry("d.xmp", { of: "d.CR3" });
  const found = rejoin([...whole, ...torn, sent, lost]);
  expect([whole[0]?.sidecar, torn[1]?.picture]).toEqual([whole[1], torn[0]]);
  expect(found).toEqual({ torn: [torn[0]], left: [lost] });
  expect(withoutSidecars([...whole, sent].map(({ record }) => record)).map(({ name }) => name)).toEqual(["a.CR3", "c.xmp"]);
});

test("a sidecar counts with its picture, by its bytes", () => {
  const entries = [entry("a.CR3"), entry("a.xmp"), entry("b.xmp")];
  joinSidecars(entries, new Set());
  expect(totals(entries)).toMatchObject({ files: 2, refused: 1, bytes: 200 });
  entries[1]?.end("refused"); // with its picture
  expect(totals(entries)).toMatchObject({ files: 2, refused: 1, bytes: 100 });
  entries[1]?.end("refused", new Problem(422, "content_mismatch"));
  expect(totals(entries)).toMatchObject({ files: 3, refused: 2, bytes: 100 });
});
