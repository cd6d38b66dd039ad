import { expect, test, vi } from "vitest";
import { isCounted, pictures, rendition } from "../src/gallery/sources";
import { itemOf, signed } from "./item";

vi.stubGlobal("document", { baseURI: "https://kappi.test/g/k7dm" });

const renditions = { "200": signed("/r/200"), "2048": signed("/r/2048"), "320x240": signed("/r/240"), "4000": signed("/r/4000") };

test.each([
  [400, "240", 240],
  [2048, "2048", 2048],
  [100, "200", 200],
])("the rendition for %i pixels is the highest that is not above, else the lowest", (pixels, name, height) => {
  const found = rendition(itemOf({ renditions }), pixels);
  expect(found).toEqual({ url: `https://kappi.test/r/${name}`, width: height * 1.5, height });
});

test("a tier without renditions gives none, and an address that is none of the web's is left out", () => {
  expect(rendition(itemOf(), 400)).toBeUndefined();
  expect(rendition(itemOf({ renditions: { "200": signed("javascript:alert(1)") } }), 400)).toBeUndefined();
});

test.each([
  ["a small original", itemOf({ renditions }), ["original", "2048", "240"]],
  ["a large original", itemOf({ renditions, size: 9e6 }), ["2048", "original", "240"]],
  ["an animation", itemOf({ renditions, size: 9e6, content_type: "image/gif" }), ["original", "2048", "240"]],
  ["a file that browsers do not show", itemOf({ renditions, content_type: "image/heic" }), ["2048", "240"]],
  ["an original that the tier withholds", itemOf({ renditions, original: null }), ["2048", "240"]],
  ["an original whose uses count", itemOf({ renditions, original: signed("/v1/media/1/download?redirect=true") }), ["2048", "240"]],
])("on a screen: %s", (_, item, names) => {
  expect(pictures(item).map((source) => source.url.split("/").pop())).toEqual(names);
});

test("an original whose uses count is recognised by its address", () => {
  expect(isCounted(itemOf({ original: signed("https://kappi.test/v1/media/1/download?redirect=true") }))).toBe(true);
  expect(isCounted(itemOf())).toBe(false);
});
