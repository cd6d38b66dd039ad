/** The film of a motion photo, which plays in place of the picture until it ends or the viewer goes on. */

import type { Collection } from "../gallery/collection.svelte";
import { makeMotion } from "./films";

export class Motion {
  onchange: () => void = () => {};
  #playing: string | undefined;
  readonly #refresh: (id: string) => void;

  /** refresh: loads the slide of an item again. */
  constructor(refresh: (id: string) => void) {
    this.#refresh = refresh;
  }

  plays(id: string): boolean {
    return this.#playing === id;
  }

  toggle(id: string): void {
    this.#set(this.plays(id) ? undefined : id);
  }

  /** Shows the picture again if another item is on the screen. */
  leave(id: string): void {
    if (this.#playing !== undefined && !this.plays(id)) this.#set(undefined);
  }

  /** Makes the slide. The film begins by itself, because the viewer asked for it. */
  slide(collection: Collection, id: string): HTMLDivElement {
    const made = makeMotion(collection, id);
    // These events do not bubble.
    made.addEventListener("loadedmetadata", (event) => void (event.target as HTMLVideoElement).play().catch(() => {}), true);
    made.addEventListener("ended", () => this.leave(""), true);
    return made;
  }

  #set(id: string | undefined): void {
    const changed = [this.#playing, id];
    this.#playing = id;
    for (const one of changed) if (one !== undefined) this.#refresh(one);
    this.onchange();
  }
}
