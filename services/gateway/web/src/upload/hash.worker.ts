/** A worker that computes the SHA-256 of files, one after the other. */

import { Sha256 } from "./sha256";

const CHUNK_BYTES = 4 << 20;
/** Files up to this size are read at once: WebCrypto is several times faster, and needs the whole content. */
const WHOLE_BYTES = 32 << 20;

export interface Question {
  id: number;
  file: Blob;
}

/** sha256: undefined if the file could not be read. */
export interface Answer {
  id: number;
  sha256: string | undefined;
}

let turn = Promise.resolve();

addEventListener("message", ({ data }: MessageEvent<Question>) => {
  turn = turn.then(async () => {
    const sha256 = await digest(data.file).catch(() => undefined);
    postMessage({ id: data.id, sha256 } satisfies Answer);
  });
});

async function digest(file: Blob): Promise<string> {
  // Pages that did not come by HTTPS have no WebCrypto.
  if (file.size <= WHOLE_BYTES && globalThis.crypto.subtle) {
    const bytes = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const sum = new Sha256();
  for (let at = 0; at < file.size; at += CHUNK_BYTES) {
    sum.update(new Uint8Array(await file.slice(at, at + CHUNK_BYTES).arrayBuffer()));
  }
  return sum.digest();
}
