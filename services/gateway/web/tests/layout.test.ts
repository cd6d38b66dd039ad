import { expect, test } from "vitest";
import { GAP, layOut, neighbour, places, rowHeight, rowOf, rowsWithin, type Tile } from "../src/grid/layout";

const tilesOf = (...ratios: number[]): Tile[] => ratios.map((ratio, index) => ({ id: `t${index}`, ratio }));
const many = (count: number): Tile[] => tilesOf(...Array.from({ length: count }, (_, index) => [1.5, 0.75, 1, 1.78][index % 4] ?? 1));

test.each([320, 390, 1280, 3840])("rows of %i pixels are filled and near the height they aim at", (width) => {
  const tiles = many(200);
  const { rows, height } = layOut(tiles, width);
  expect(rows.flatMap((row) => places(row, tiles)).map((place) => place.id)).toEqual(tiles.map((tile) => tile.id));
  for (const row of rows.slice(0, -1)) {
    const last = places(row, tiles).at(-1);
    expect(last && last.start + last.width).toBeCloseTo(width);
    expect(row.height / rowHeight(width)).toBeGreaterThan(0.5);
    expect(row.height / rowHeight(width)).toBeLessThan(2);
  }
  expect(rows.at(-1)).toMatchObject({ end: 200 });
  expect(height).toBeCloseTo((rows.at(-1)?.top ?? 0) + (rows.at(-1)?.height ?? 0));
});

test("tiles that are added change the last row only", () => {
  const before = layOut(many(100), 900).rows.slice(0, -1);
  expect(layOut(many(150), 900).rows.slice(0, before.length)).toEqual(before);
});

test("a few tiles are not stretched to the width", () => {
  const tiles = tilesOf(1.5, 1.5);
  expect(layOut(tiles, 2000).rows).toEqual([{ top: 0, height: rowHeight(2000), first: 0, end: 2 }]);
});

test.each([[[]], [[0]], [[Number.NaN]], [[100, 0.01]]])("ratios %j give finite places", (ratios) => {
  const tiles = tilesOf(...ratios);
  const { rows, height } = layOut(tiles, 390);
  const found = rows.flatMap((row) => places(row, tiles));
  expect(found).toHaveLength(ratios.length);
  expect([height, ...found.flatMap((place) => [place.width, place.height])].every(Number.isFinite)).toBe(true);
});

test("the rows of a part of the height are found", () => {
  const layout = layOut(many(10_000), 1280);
  const [first, end] = rowsWithin(layout, 50_000, 51_000);
  const touching = layout.rows.filter((row) => row.top + row.height >= 50_000 && row.top <= 51_000);
  expect(layout.rows.slice(first, end)).toEqual(touching);
  expect(rowsWithin(layout, -500, -10)).toEqual([0, 0]);
  expect(rowOf(layout, 9_999)).toBe(layout.rows.length - 1);
});

test("keys move from tile to tile", () => {
  const tiles = tilesOf(...Array.from({ length: 9 }, () => 1));
  const width = 3 * rowHeight(400) + 2 * GAP; // three squares in a row, about
  const layout = layOut(tiles, width);
  const perRow = layout.rows[0]?.end ?? 0;
  expect(neighbour(layout, tiles, 0, "previous")).toBe(0);
  expect(neighbour(layout, tiles, 0, "next")).toBe(1);
  expect(neighbour(layout, tiles, 1, "down")).toBe(1 + perRow);
  expect(neighbour(layout, tiles, 1 + perRow, "up")).toBe(1);
  expect(neighbour(layout, tiles, 1, "up")).toBe(1);
  expect([neighbour(layout, tiles, 4, "first"), neighbour(layout, tiles, 4, "last")]).toEqual([0, 8]);
});
