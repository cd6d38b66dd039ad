/** How fast bytes are sent, and how long the rest takes. */

const WINDOW_MS = 20_000;
const SURE_AFTER_MS = 3000;

export class Pace {
  readonly #samples: { at: number; bytes: number }[] = [];

  /** Notes the bytes that are sent so far. at: milliseconds of a clock that only goes forward. */
  note(at: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last && (bytes < last.bytes || at - last.at > WINDOW_MS)) this.#samples.length = 0; // begun anew
    this.#samples.push({ at, bytes });
    while (at - (this.#samples[0]?.at ?? at) > WINDOW_MS) this.#samples.shift();
  }

  forget(): void {
    this.#samples.length = 0;
  }

  /** Returns the seconds that so many bytes take; undefined while that is a guess. */
  secondsFor(bytes: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at - first.at < SURE_AFTER_MS || last.bytes === first.bytes) return undefined;
    return (bytes * (last.at - first.at)) / 1000 / (last.bytes - first.bytes);
  }
}
