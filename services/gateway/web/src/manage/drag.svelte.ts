/** Dragging of tiles: with the mouse any tile, with a finger only a chosen one, so that the page still scrolls. */

const START_PX = 6;
const EDGE_PX = 90;
const SCROLL_PX = 18;

export interface Drop {
  beside: string;
  isAfter: boolean;
}

interface Options {
  /** Returns what moves with a tile; empty if it may not be dragged by this kind of pointer. */
  taken: (id: string, pointerType: string) => ReadonlySet<string>;
  dropped: (ids: ReadonlySet<string>, drop: Drop) => void;
}

/** One drag at a time over the tiles, which are elements with `data-id`. */
export class Drag {
  ids = $state.raw<ReadonlySet<string>>(new Set());
  over = $state.raw<Drop>();
  x = $state(0);
  y = $state(0);

  #options: Options;
  #start: { id: string; x: number; y: number; pointerId: number; type: string } | undefined;
  #frame = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  get isActive(): boolean {
    return this.ids.size > 0;
  }

  /** Listens to the pointers on an element. Returns the function that ends it. */
  attach = (element: HTMLElement): (() => void) => {
    const end = new AbortController();
    const on = <K extends keyof HTMLElementEventMap>(
      kind: K,
      listen: (event: HTMLElementEventMap[K]) => void,
      target: EventTarget = window,
      capture = false,
    ): void => target.addEventListener(kind, listen as EventListener, { signal: end.signal, capture });
    on("pointerdown", this.#down, element);
    on("pointermove", this.#move);
    on("pointerup", this.#up);
    on("pointercancel", () => this.#finish());
    on("keydown", (event) => event.key === "Escape" && this.#finish());
    on("dragstart", (event) => event.preventDefault(), element);
    return () => {
      this.#finish();
      end.abort();
    };
  };

  #down = (event: PointerEvent): void => {
    const id = tileAt(event.target as Element)?.dataset["id"];
    if (event.button || !event.isPrimary || id === undefined) return;
    this.#start = { id, x: event.clientX, y: event.clientY, pointerId: event.pointerId, type: event.pointerType };
  };

  #move = (event: PointerEvent): void => {
    const start = this.#start;
    if (!start || event.pointerId !== start.pointerId) return;
    if (!this.isActive) {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) < START_PX) return;
      this.ids = this.#options.taken(start.id, start.type);
      if (!this.isActive) return this.#finish();
      this.#scroll();
    }
    event.preventDefault();
    this.x = event.clientX;
    this.y = event.clientY;
    this.over = dropAt(event.clientX, event.clientY) ?? this.over;
  };

  #up = (event: PointerEvent): void => {
    if (event.pointerId !== this.#start?.pointerId) return;
    const { ids, over } = this;
    if (ids.size) suppressClick();
    this.#finish();
    if (ids.size && over) this.#options.dropped(ids, over);
  };

  #finish(): void {
    this.#start = undefined;
    this.ids = new Set();
    this.over = undefined;
    cancelAnimationFrame(this.#frame);
  }

  // Near the edges of the window the page scrolls under the pointer.
  #scroll = (): void => {
    const way = this.y < EDGE_PX && this.y > 0 ? -1 : this.y > innerHeight - EDGE_PX ? 1 : 0;
    if (way && this.over) scrollBy(0, way * SCROLL_PX);
    this.#frame = requestAnimationFrame(this.#scroll);
  };
}

function tileAt(element: Element | null): HTMLElement | null {
  return element?.closest<HTMLElement>("[data-id]") ?? null;
}

function dropAt(x: number, y: number): Drop | undefined {
  const tile = tileAt(document.elementFromPoint(x, y));
  if (!tile) return undefined;
  const box = tile.getBoundingClientRect();
  const isRight = x > box.left + box.width / 2;
  return { beside: tile.dataset["id"] as string, isAfter: isRight !== (getComputedStyle(tile).direction === "rtl") };
}

// The click that follows a drag chooses nothing.
function suppressClick(): void {
  const stop = (event: Event): void => {
    event.stopPropagation();
    event.preventDefault();
  };
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, { capture: true }), 0);
}
