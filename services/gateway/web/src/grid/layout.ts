/** Places of tiles in justified rows, without a page. */

export interface Tile {
  id: string;
  /** Width by height. */
  ratio: number;
}

export interface Row {
  top: number;
  height: number;
  /** Index of the first tile. */
  first: number;
  /** Index behind the last tile. */
  end: number;
}

export interface Layout {
  rows: readonly Row[];
  height: number;
}

export interface Place {
  id: string;
  index: number;
  /** Distance from the start of the row. */
  start: number;
  top: number;
  width: number;
  height: number;
}

export const GAP = 4;
const NARROWEST = 0.4;
const WIDEST = 4;
const LAST_ROW_STRETCH = 1.3;

/** Returns the height that rows aim at in a grid of a width. */
export const rowHeight = (width: number): number => Math.min(Math.max(110 + width * 0.1, 140), 320);

const shape = (tile: Tile | undefined): number => Math.min(Math.max(tile?.ratio || 1, NARROWEST), WIDEST);

/** Puts tiles into rows that fill the width. Tiles that are added at the end change the last row only. */
export function layOut(tiles: readonly Tile[], width: number): Layout {
  const aim = rowHeight(width);
  const rows: Row[] = [];
  let top = 0;
  let first = 0;
  let shapes = 0;
  const close = (end: number, height: number): void => {
    rows.push({ top, height, first, end });
    top += height + GAP;
    first = end;
  };
  const filling = (count: number, sum: number): number => (width - GAP * (count - 1)) / sum;
  for (let index = 0; index < tiles.length; index += 1) {
    const added = shape(tiles[index]);
    const height = filling(index - first + 1, shapes + added);
    if (height > aim) {
      shapes += added;
      continue;
    }
    const without = index > first ? filling(index - first, shapes) : Infinity;
    if (without / aim < aim / height) {
      close(index, without);
      shapes = added;
    } else {
      close(index + 1, height);
      shapes = 0;
    }
  }
  if (first < tiles.length) {
    const full = filling(tiles.length - first, shapes);
    close(tiles.length, full > aim * LAST_ROW_STRETCH ? aim : full);
  }
  return { rows, height: Math.max(top - GAP, 0) };
}

/** Returns the indices of the rows, [first, end), that touch a part of the height. */
export function rowsWithin(layout: Layout, top: number, bottom: number): [number, number] {
  const first = search(layout.rows, (row) => row.top + row.height >= top);
  return [first, Math.max(search(layout.rows, (row) => row.top > bottom), first)];
}

/** Returns the index of the row that has a tile. */
export const rowOf = (layout: Layout, index: number): number => search(layout.rows, (row) => row.end > index);

/** Returns the places of the tiles of a row. */
export function places(row: Row, tiles: readonly Tile[]): Place[] {
  let start = 0;
  return tiles.slice(row.first, row.end).map((tile, step) => {
    const width = shape(tile) * row.height;
    const place = { id: tile.id, index: row.first + step, start, top: row.top, width, height: row.height };
    start += width + GAP;
    return place;
  });
}

export type Direction = "next" | "previous" | "up" | "down" | "first" | "last";

/** Returns the index of the tile that lies in a direction; the same one at an edge. */
export function neighbour(layout: Layout, tiles: readonly Tile[], index: number, direction: Direction): number {
  const last = tiles.length - 1;
  if (direction === "first") return 0;
  if (direction === "last") return last;
  if (direction === "next") return Math.min(index + 1, last);
  if (direction === "previous") return Math.max(index - 1, 0);
  const at = rowOf(layout, index);
  const here = layout.rows[at];
  const there = layout.rows[at + (direction === "up" ? -1 : 1)];
  if (!here || !there) return index;
  const own = places(here, tiles)[index - here.first];
  const middle = own ? own.start + own.width / 2 : 0;
  const found = places(there, tiles).find((place) => place.start + place.width + GAP > middle);
  return found?.index ?? there.end - 1;
}

// Returns the first index for which a condition is true; it stays true for all that follow.
function search(rows: readonly Row[], isReached: (row: Row) => boolean): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const row = rows[middle];
    if (row && isReached(row)) high = middle;
    else low = middle + 1;
  }
  return low;
}
