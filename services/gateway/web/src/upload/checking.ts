/** Finds out when items are ready, if nothing else says so: a few requests at a time, in growing intervals. */

import type { Item } from "../api";
import { asProblem, type Problem } from "../api/problem";
import { isTemporary } from "./patience";

const FIRST_MS = 1500;
const LONGEST_MS = 15_000;
const AT_ONCE = 8;

export class Checking {
  readonly #waiting = new Map<string, (item: Item | Problem) => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = FIRST_MS;
  readonly #closed = new AbortController();

  constructor(private readonly ask: (mediaId: string) => Promise<Item>) {}

  /** Waits for an item. Returns it when it is ready or rejected, or why it cannot be got. */
  watch(mediaId: string): Promise<Item | Problem> {
    return new Promise((resolve) => {
      this.#waiting.set(mediaId, resolve);
      this.#schedule(FIRST_MS);
    });
  }

  /** Takes items that came from elsewhere. */
  take(items: readonly Item[]): void {
    for (const item of items) this.#take(item.id, item);
  }

  /** Asks for an item that is said to be ready. */
  async nudge(mediaId: string): Promise<void> {
    if (!this.#waiting.has(mediaId)) return;
    const found = await this.ask(mediaId).catch(asProblem);
    if (!("retryAfterS" in found) || !isTemporary(found)) this.#take(mediaId, found);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#closed.abort();
    this.#waiting.clear();
  }

  #take(mediaId: string, found: Item | Problem): void {
    if ("status" in found && found.status === "processing") return;
    this.#waiting.get(mediaId)?.(found);
    this.#waiting.delete(mediaId);
  }

  #schedule(pauseMs: number): void {
    this.#timer ??= setTimeout(() => this.#due(), (this.#pauseMs = pauseMs));
  }

  // In a tab that is hidden nothing is asked until it is shown.
  #due(): void {
    if (!document.hidden) return void this.#tick();
    document.addEventListener("visibilitychange", () => this.#due(), { once: true, signal: this.#closed.signal });
  }

  async #tick(): Promise<void> {
    const before = this.#waiting.size;
    const asked = [...this.#waiting.keys()].slice(0, AT_ONCE);
    await Promise.all(asked.map((mediaId) => this.nudge(mediaId)));
    for (const mediaId of asked) this.#postpone(mediaId);
    this.#timer = undefined;
    const isMoving = this.#waiting.size < before;
    if (this.#waiting.size > 0) this.#schedule(isMoving ? FIRST_MS : Math.min(this.#pauseMs * 1.5, LONGEST_MS));
  }

  // The next time others are asked.
  #postpone(mediaId: string): void {
    const resolve = this.#waiting.get(mediaId);
    if (!resolve) return;
    this.#waiting.delete(mediaId);
    this.#waiting.set(mediaId, resolve);
  }
}
