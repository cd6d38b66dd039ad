/** ThumbHashes as pictures. */

import { thumbHashToDataURL } from "thumbhash";

const MOST = 400;
const known = new Map<string, string | undefined>();

/** Returns a data URL; undefined without a hash or for one that is none. */
export function placeholder(hash: string | null | undefined): string | undefined {
  if (!hash) return undefined;
  if (!known.has(hash)) {
    if (known.size >= MOST) known.delete(known.keys().next().value as string);
    known.set(hash, decode(hash));
  }
  return known.get(hash);
}

function decode(hash: string): string | undefined {
  try {
    return thumbHashToDataURL(Uint8Array.from(atob(hash), (one) => one.charCodeAt(0)));
  } catch {
    return undefined;
  }
}
