/** Content types of files, as declared to the API. */

import { isSidecar, SIDECAR_TYPE } from "./sidecars";

const BY_EXTENSION: Readonly<Record<string, string>> = {
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  gif: "image/gif",
  webp: "image/webp",
  bmp: "image/bmp",
  heic: "image/heic",
  heif: "image/heic",
  hif: "image/heic",
  avif: "image/avif",
  tif: "image/tiff",
  tiff: "image/tiff",
  cr2: "image/x-canon-cr2",
  cr3: "image/x-canon-cr3",
  crw: "image/x-canon-crw",
  nef: "image/x-nikon-nef",
  nrw: "image/x-nikon-nrw",
  arw: "image/x-sony-arw",
  sr2: "image/x-sony-sr2",
  dng: "image/x-adobe-dng",
  raf: "image/x-fuji-raf",
  orf: "image/x-olympus-orf",
  rw2: "image/x-panasonic-rw2",
  pef: "image/x-pentax-pef",
  "3fr": "image/x-hasselblad-3fr",
  iiq: "image/x-phaseone-iiq",
  jxl: "image/jxl",
  jp2: "image/jp2",
  j2k: "image/jp2",
  j2c: "image/jp2",
  jpf: "image/jp2",
  jpx: "image/jp2",
  mp4: "video/mp4",
  mov: "video/quicktime",
  m4v: "video/x-m4v",
  "3gp": "video/3gpp",
  "3g2": "video/3gpp",
  webm: "video/webm",
  mkv: "video/x-matroska",
  avi: "video/x-msvideo",
  ts: "video/mp2t",
  mts: "video/mp2t",
  m2ts: "video/mp2t",
  wmv: "video/x-ms-wmv",
  asf: "video/x-ms-asf",
};

/** For the `accept` of file inputs. The extensions are there for browsers that do not know some of the types. */
export const ACCEPTED = ["image/*", "video/*", ...Object.keys(BY_EXTENSION).map((ending) => `.${ending}`), ".xmp"].join(",");

/** Returns the content type; undefined if the file is neither a picture, a film nor a sidecar by its name or type. */
export function contentType(file: { name: string; type: string }): string | undefined {
  if (isSidecar(file.name)) return SIDECAR_TYPE;
  const byName = BY_EXTENSION[file.name.split(".").pop()?.toLowerCase() ?? ""];
  return byName ?? (/^(image|video)\/[\w.+-]+$/.test(file.type) ? file.type : undefined);
}
