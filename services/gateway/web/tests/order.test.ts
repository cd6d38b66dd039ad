import { describe, expect, test } from "vitest";
import { dropTarget, moved, rangeOf, stepEarlier, stepLater } from "../src/manage/order";

const ORDER = ["a", "b", "c", "d", "e"];
const set = (text: string): Set<string> => new Set(text);

test.each([
  ["d", "b", "adbce"],
  ["bd", "a", "bdace"],
  ["a", null, "bcdea"],
  ["a", "x", "bcdea"],
])("%s moved before %s", (ids, before, order) => {
  expect(moved(ORDER, set(ids), before).join("")).toBe(order);
});

describe("one step", () => {
  const step = (ids: string, target: string | null | undefined): string =>
    target === undefined ? "stays" : moved(ORDER, set(ids), target).join("");

  test.each([
    ["c", "acbde"],
    ["a", "stays"],
    ["ab", "stays"],
    ["ac", "acbde"],
    ["bd", "bdace"],
  ])("%s earlier", (ids, order) => {
    expect(step(ids, stepEarlier(ORDER, set(ids)))).toBe(order);
  });

  test.each([
    ["c", "abdce"],
    ["d", "abced"],
    ["e", "stays"],
    ["de", "stays"],
    ["ce", "abdce"],
    ["ab", "cabde"],
  ])("%s later", (ids, order) => {
    expect(step(ids, stepLater(ORDER, set(ids)))).toBe(order);
  });
});

test.each([
  ["a", "c", false, "c"],
  ["a", "c", true, "d"],
  ["a", "e", true, null],
  ["a", "a", true, undefined],
  ["a", "b", false, undefined],
  ["bc", "b", false, undefined],
  ["cd", "d", true, undefined],
  ["bd", "b", false, "c"],
])("%s dropped beside %s, after it: %s", (ids, beside, isAfter, before) => {
  expect(dropTarget(ORDER, set(ids), beside, isAfter)).toBe(before);
});

test("a range goes either way", () => {
  expect(rangeOf(ORDER, "d", "b")).toEqual(["b", "c", "d"]);
  expect(rangeOf(ORDER, "gone", "b")).toEqual(["b"]);
});
