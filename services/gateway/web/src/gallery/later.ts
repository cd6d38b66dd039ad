import { backoffMs } from "../live/parse";

/** Ids that are tried again together, after a wait that grows with each failure in a row. */
export class Later {
  #ids = new Set<string>();
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly retry: (ids: string[]) => void) {}

  /** retryAfterS: the wait that the server asks for, 0 if none. */
  add(id: string, retryAfterS: number): void {
    this.#ids.add(id);
    this.#timer ??= setTimeout(() => this.#go(), Math.max(retryAfterS * 1000, backoffMs(this.#failures++)));
  }

  /** Is told that something came: the next wait is short again. */
  calm(): void {
    this.#failures = 0;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#ids.clear();
  }

  #go(): void {
    const ids = [...this.#ids];
    this.clear();
    this.retry(ids);
  }
}
