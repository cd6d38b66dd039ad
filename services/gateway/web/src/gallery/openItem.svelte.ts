/** The item that is open, as the address says it. Opening adds to the history, turning to a neighbour does not. */

import { itemIn } from "./place";

export class OpenItem {
  id = $state<string>();

  constructor() {
    const id = itemIn(location.hash);
    if (id === undefined) return;
    // The page without the item comes before it in the history, so that Back closes the item.
    history.replaceState(null, "", location.pathname + location.search);
    this.open(id);
  }

  open(id: string): void {
    if (this.id !== undefined) return this.turn(id);
    history.pushState({ item: true }, "", `#${id}`);
    this.id = id;
  }

  turn(id: string): void {
    history.replaceState({ item: true }, "", `#${id}`);
    this.id = id;
  }

  /** Closes the item, as the viewer does on the page. */
  close(): void {
    if (this.id === undefined) return;
    this.id = undefined;
    history.back();
  }

  /** Takes up the address after Back, Forward or a changed fragment. */
  follow(): void {
    this.id = itemIn(location.hash);
  }
}
