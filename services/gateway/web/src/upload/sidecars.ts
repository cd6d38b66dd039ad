/** XMP sidecars, which photo editors write. Each belongs to a picture and is declared together with it. */

import type { KeptFile } from "./database";

export const SIDECAR_TYPE = "application/rdf+xml";
const ENDING = ".xmp";
const CAMERA_RAW = /^image\/x-(canon|nikon|sony|adobe|fuji|olympus|panasonic|pentax|hasselblad|phaseone)-/;

interface Named {
  record: Pick<KeptFile, "name" | "type">;
}

/** A picture, and the sidecar that was found for it. */
export interface Picture<S> extends Named {
  sidecar?: S | undefined;
}

export function isSidecar(name: string): boolean {
  return name.toLowerCase().endsWith(ENDING);
}

/**
 * Returns the pictures of sidecars, as the server finds them. It takes one for each picture.
 *
 * `IMG_1.CR3.xmp` belongs to `IMG_1.CR3`; `IMG_1.xmp` to the camera RAW with this stem, else to the picture with it.
 */
export function picturesOf<S extends Named, P extends Picture<S>>(
  sidecars: readonly S[],
  files: readonly P[],
): Map<S, P> {
  const pictures = files.filter(({ record }) => record.type.startsWith("image/"));
  const ranks = [
    byName(pictures, ({ record }) => record.name.toLowerCase()),
    byName(pictures.filter(({ record }) => CAMERA_RAW.test(record.type)), stem),
    byName(pictures, stem),
  ];
  const found = new Map<S, P>();
  const taken = new Set(pictures.filter(({ sidecar }) => sidecar !== undefined));
  for (const sidecar of sidecars) {
    const name = sidecar.record.name.toLowerCase().slice(0, -ENDING.length);
    const [picture, other] = ranks.map((rank) => rank.get(name)).find((same) => same !== undefined) ?? [];
    if (!picture || other || taken.has(picture)) continue;
    taken.add(picture);
    found.set(sidecar, picture);
  }
  return found;
}

/** Returns files to declare in one call, each picture with its sidecar. most: of one call. */
export function inOneCall<S, P extends Picture<S>>(
  pictures: readonly P[],
  most: number,
  isDeclared: (sidecar: S) => boolean,
): (P | S)[][] {
  const groups: (P | S)[][] = [];
  let room = most;
  for (const picture of pictures) {
    const { sidecar } = picture;
    const group = sidecar !== undefined && isDeclared(sidecar) ? [picture, sidecar] : [picture];
    if ((room -= group.length) < 0) break;
    groups.push(group);
  }
  return groups;
}

function byName<P>(pictures: readonly P[], name: (picture: P) => string): Map<string, P[]> {
  const found = new Map<string, P[]>();
  for (const picture of pictures) {
    const same = found.get(name(picture));
    if (same) same.push(picture);
    else found.set(name(picture), [picture]);
  }
  return found;
}

function stem({ record }: Named): string {
  const name = record.name.toLowerCase();
  return name.slice(0, name.lastIndexOf(".")) || name;
}
