/** Plays a stream (HLS): by the browser itself, or by a library that is loaded for those that cannot. */

const TYPE = "application/vnd.apple.mpegurl";
/** Seconds that are loaded before the film is played, and then. */
const AHEAD_S = 8;
const AHEAD_PLAYING_S = 60;
/** Sent to a film's element when it is not needed any more. */
export const LEFT = "left";

/** Begins a stream. at: where, in seconds. onfail: called when it cannot be played, or not any more. */
export async function playStream(film: HTMLVideoElement, url: string, { at, onfail }: { at: number; onfail: () => void }): Promise<void> {
  if (film.canPlayType(TYPE)) {
    film.addEventListener("error", onfail, { once: true });
    film.addEventListener("loadedmetadata", () => (film.currentTime = at), { once: true });
    film.src = url;
    return;
  }
  const { default: Hls } = await import("hls.js/light");
  if (!Hls.isSupported()) return onfail();
  // The pages' policy allows no worker from a blob.
  const stream = new Hls({ enableWorker: false, startPosition: at, maxMaxBufferLength: AHEAD_S, backBufferLength: AHEAD_PLAYING_S });
  film.addEventListener("play", () => (stream.config.maxMaxBufferLength = AHEAD_PLAYING_S), { once: true });
  film.addEventListener(LEFT, () => stream.destroy(), { once: true });
  stream.on(Hls.Events.ERROR, (_, { fatal }) => {
    if (!fatal) return;
    stream.destroy();
    onfail();
  });
  stream.loadSource(url);
  stream.attachMedia(film);
}
