/** The order of the items of a gallery, as far as it is known. */

/** Returns the ids with one more: in its place if all are in the order of their ids (of declaration), else at the end. */
export function withId(ids: readonly string[], id: string): readonly string[] {
  if (ids.includes(id)) return ids;
  const isByAge = ids.every((one, index) => index === 0 || (ids[index - 1] ?? "") < one);
  const later = isByAge ? ids.findIndex((one) => one > id) : -1;
  return later < 0 ? [...ids, id] : ids.toSpliced(later, 0, id);
}

/** Returns the ids between two, both included, in either direction. */
export function between(ids: readonly string[], one: string, other: string): readonly string[] {
  const places = [ids.indexOf(one), ids.indexOf(other)].sort((a, b) => a - b);
  const [first = -1, last = -1] = places;
  return first < 0 ? [other] : ids.slice(first, last + 1);
}
