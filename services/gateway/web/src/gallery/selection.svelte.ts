import { SvelteSet } from "svelte/reactivity";
import { between } from "./order";

/** The items that are chosen. isOn: choosing is what a click on an item does. */
export class Selection {
  isOn = $state(false);
  readonly ids = new SvelteSet<string>();
  #anchor: string | undefined;

  start(): void {
    this.isOn = true;
  }

  end(): void {
    this.isOn = false;
    this.ids.clear();
    this.#anchor = undefined;
  }

  toggle(id: string): void {
    if (!this.ids.delete(id)) this.ids.add(id);
    this.#anchor = id;
  }

  /** Adds all items from the one that was chosen last to this one. */
  extend(all: readonly string[], id: string): void {
    for (const one of between(all, this.#anchor ?? id, id)) this.ids.add(one);
    this.#anchor = id;
  }

  add(ids: readonly string[]): void {
    for (const id of ids) this.ids.add(id);
  }

  /** Drops what is not there any more. */
  keep(isThere: (id: string) => boolean): void {
    for (const id of [...this.ids]) if (!isThere(id)) this.ids.delete(id);
  }
}
