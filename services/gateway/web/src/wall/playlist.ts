/** The order of a slide show that goes on without end, without a page. */

/** Tells which item is next: new ones first, then all in their order, again and again. */
export class Playlist {
  #fresh: string[] = [];
  #last: string | undefined;
  #current: string | undefined;

  /** Ids that came while the show runs, the oldest first. */
  add(ids: readonly string[]): void {
    for (const id of ids) if (!this.#fresh.includes(id)) this.#fresh.push(id);
  }

  /** Returns the item after the current one. ids: those that can be shown. */
  next(ids: readonly string[]): string | undefined {
    const shown = new Set(ids);
    this.#fresh = this.#fresh.filter((id) => shown.has(id));
    const fresh = this.#fresh.shift();
    if (fresh !== undefined) return (this.#current = fresh);
    this.#last = this.#at(ids, this.#last, 1);
    if (this.#last === this.#current) this.#last = this.#at(ids, this.#last, 1);
    return (this.#current = this.#last);
  }

  /** Returns the item before the current one. */
  previous(ids: readonly string[]): string | undefined {
    this.#last = this.#at(ids, this.#current, -1);
    return (this.#current = this.#last);
  }

  #at(ids: readonly string[], from: string | undefined, step: number): string | undefined {
    const index = from === undefined ? -1 : ids.indexOf(from);
    if (index < 0) return step > 0 ? ids[0] : ids.at(-1);
    return ids[(index + step + ids.length) % ids.length];
  }
}
