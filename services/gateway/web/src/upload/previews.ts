/** Small pictures of chosen files, made one at a time: a photograph takes fifty megabytes while it is decoded. */

const WIDTH_PX = 400;
const FILM_MS = 5000;

let turn: Promise<unknown> = Promise.resolve();

/** Returns the address of a small picture; undefined if the browser cannot show the file. */
export function preview(file: File, signal: AbortSignal): Promise<string | undefined> {
  const made = turn.then(async () => {
    if (signal.aborted) return undefined;
    const source = await (file.type.startsWith("video/") ? frameOf(file) : bitmapOf(file));
    return URL.createObjectURL(await shrink(source));
  });
  turn = made.catch(() => {});
  return made.catch(() => undefined);
}

const bitmapOf = (file: File): Promise<ImageBitmap> => createImageBitmap(file, { resizeWidth: WIDTH_PX });

async function frameOf(file: File): Promise<ImageBitmap> {
  const film = document.createElement("video");
  const url = URL.createObjectURL(file);
  film.muted = true;
  film.preload = "metadata";
  try {
    await new Promise<void>((resolve, reject) => {
      setTimeout(reject, FILM_MS);
      film.onloadeddata = () => resolve();
      film.onerror = reject;
      film.src = `${url}#t=0.1`;
    });
    return await createImageBitmap(film, { resizeWidth: WIDTH_PX });
  } finally {
    film.removeAttribute("src");
    film.load();
    URL.revokeObjectURL(url);
  }
}

async function shrink(source: ImageBitmap): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  canvas.getContext("2d")?.drawImage(source, 0, 0);
  source.close();
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.7));
  if (!blob) throw new Error("no picture");
  return blob;
}
