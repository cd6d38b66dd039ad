/** What the address of the page says. */

const CODE = /^[a-z0-9]{1,64}$/;
const ITEM = /^#[\w-]{1,64}$/;

/** Returns the code of the gallery; undefined if the address cannot lead to one. */
export function codeOf(path: string): string | undefined {
  let last = path.split("/").pop() ?? "";
  try {
    last = decodeURIComponent(last);
  } catch {
    return undefined;
  }
  const code = last.trim().toLowerCase();
  return CODE.test(code) ? code : undefined;
}

/** Returns the id of the item that the fragment names. */
export const itemIn = (hash: string): string | undefined => (ITEM.test(hash) ? hash.slice(1) : undefined);

/** Returns whether the address is that of the slide show. */
export const isWall = (search: string): boolean => new URLSearchParams(search).has("wall");
