/** The order of items: where a move puts them. An order is a list of ids. */

/** Where moved items stand: before an id, at the end (null), or before an id that is found first. */
export type Target = string | null | (() => Promise<string | null>);

/** Returns the order after a move; before: an id that is not moved, null for the end. */
export function moved(order: readonly string[], ids: ReadonlySet<string>, before: string | null): string[] {
  const rest = order.filter((id) => !ids.has(id));
  const going = order.filter((id) => ids.has(id));
  const at = before === null ? rest.length : rest.indexOf(before);
  return rest.toSpliced(at < 0 ? rest.length : at, 0, ...going);
}

/** Returns the id before which the ids stand after one step to the start; undefined if they are there already. */
export function stepEarlier(order: readonly string[], ids: ReadonlySet<string>): string | undefined {
  const first = order.findIndex((id) => ids.has(id));
  if (first < 0) return undefined;
  if (first > 0) return order[first - 1];
  const next = order.find((id) => !ids.has(id)); // they are brought together at the start
  return isTogether(order, ids) ? undefined : next;
}

/** Returns the id before which they stand after one step to the end, null for the end; undefined if they are there. */
export function stepLater(order: readonly string[], ids: ReadonlySet<string>): string | null | undefined {
  const last = order.findLastIndex((id) => ids.has(id));
  if (last < 0) return undefined;
  if (last === order.length - 1) return isTogether(order, ids) ? undefined : null;
  return order[last + 2] ?? null;
}

/** Returns the id before which a drop beside a tile puts the ids, null for the end; undefined if nothing moves. */
export function dropTarget(
  order: readonly string[],
  ids: ReadonlySet<string>,
  beside: string,
  isAfter: boolean,
): string | null | undefined {
  let at = order.indexOf(beside) + (isAfter ? 1 : 0);
  while (ids.has(order[at] ?? "")) at += 1; // an item that moves is no place to stand before
  const before = order[at] ?? null;
  const next = moved(order, ids, before);
  return next.every((id, index) => id === order[index]) ? undefined : before;
}

/** Returns the ids between two, both included, whichever comes first. */
export function rangeOf(order: readonly string[], one: string, other: string): string[] {
  const [from = 0, to = 0] = [order.indexOf(one), order.indexOf(other)].sort((a, b) => a - b);
  return from < 0 ? [other] : order.slice(from, to + 1);
}

function isTogether(order: readonly string[], ids: ReadonlySet<string>): boolean {
  const first = order.findIndex((id) => ids.has(id));
  return order.findLastIndex((id) => ids.has(id)) - first + 1 === order.filter((id) => ids.has(id)).length;
}
