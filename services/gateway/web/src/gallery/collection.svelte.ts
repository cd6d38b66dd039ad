/**
 * The gallery that the page shows, as far as it is loaded.
 *
 * An answer of the first page counts as a view in a gallery that has a cap (ADR 0053). So it is asked for once, and
 * again only if nothing else can say what changed; further pages and single items are not counted.
 */

import { type Access, asProblem, type Gallery, type Item, Problem, request, type View } from "../api";
import { Later } from "./later";
import { withId } from "./order";

/** Items of the first page: a screen or two, so that the first picture comes soon. */
const FIRST_ITEMS = 60;
const PAGE_ITEMS = 200;
const MOST_PAGE_ITEMS = 500;
/** Signed URLs are valid for ten minutes at least. */
const FRESH_MS = 8 * 60 * 1000;
const AT_ONCE = 4;

interface Page {
  /** Of the request; null for the first page. */
  cursor: string | null;
  /** The last item of the page before: without it the cursor would count as the first page's. */
  anchor: string | undefined;
  limit: number;
  ids: ReadonlySet<string>;
}

type Loaded = { gallery: Gallery; ids: string[]; items: Map<string, Item>; pages: Page[]; next: string | null };

export class Collection {
  gallery = $state.raw<Gallery>();
  /** Ids of the loaded items, in the order of the gallery. */
  ids = $state.raw<readonly string[]>([]);
  items = $state.raw<ReadonlyMap<string, Item>>(new Map());
  /** Cursor of the next page; null if all are loaded. */
  next = $state.raw<string | null>(null);
  /** The refusal that the page shows instead of the gallery. */
  refusal = $state.raw<Problem>();
  /** A failure that leaves the gallery shown. */
  trouble = $state.raw<Problem>();
  readonly access: Access;
  /** A contributor key that was refused. */
  wrongKey: string | undefined;
  /** When the first page came. */
  loadedAt = 0;

  #pages: Page[] = [];
  #bornAt = new Map<string, number>();
  #loading: Promise<void> | undefined;
  #renewals = new Map<string, Promise<void>>();
  #opened = 0;
  /** Items that came, and that went, since the gallery was asked for: an answer may be older. */
  #came = new Set<string>();
  #gone = new Set<string>();
  /** Items that could not be had for a moment. */
  #later = new Later((ids) => void this.#fetchAll(ids.filter((id) => !this.#gone.has(id))));
  /** The latest load of the gallery. */
  opening: Promise<void> = Promise.resolve();

  constructor(readonly code: string) {
    this.access = { code };
  }

  /** Loads the first page, and as many further ones as were loaded before. */
  open(): Promise<void> {
    return (this.opening = this.#open(++this.#opened));
  }

  async #open(opened: number): Promise<void> {
    const wanted = this.ids.length;
    this.#came.clear();
    this.#gone.clear();
    try {
      const loaded = await this.#first();
      while (loaded.next && loaded.ids.length < wanted) await this.#further(loaded, PAGE_ITEMS);
      if (opened !== this.#opened) return;
      this.#show(loaded);
      await this.arrive([...this.#came].filter((id) => !this.items.has(id)));
    } catch (failure) {
      if (opened !== this.#opened) return;
      const problem = asProblem(failure);
      if (problem.code !== "contributor_key_wrong" || !this.access.contributorKey) return this.#refuse(problem);
      this.wrongKey = this.access.contributorKey;
      delete this.access.contributorKey;
      await this.#open(opened);
    }
  }

  /** Tries a password. */
  async unlock(password: string): Promise<void> {
    this.access.password = password;
    await this.open();
  }

  /** Loads pages until that many items are loaded. Throws Problem. */
  async reach(count: number): Promise<void> {
    while (this.next && this.ids.length < count) {
      await (this.#loading ??= this.#more(count - this.ids.length).finally(() => (this.#loading = undefined)));
    }
  }

  /** Whether the URLs of an item may have expired. */
  isAged(id: string): boolean {
    return Date.now() - (this.#bornAt.get(id) ?? 0) > FRESH_MS;
  }

  /**
   * Gets new URLs for an item, with all of its page if the page can be had without a view.
   *
   * Throws Problem. The gallery is closed if it is not open to the viewer any more.
   */
  async renew(id: string): Promise<void> {
    const page = this.#pages.find((one) => one.ids.has(id));
    try {
      if (page && this.#isFree(page)) await this.#once(`page ${page.cursor}`, () => this.#again(page));
      else await this.#once(id, () => this.#fetch(id));
    } catch (failure) {
      const problem = asProblem(failure);
      if (problem.code === "media_not_found") this.remove(id);
      this.#endWith(problem);
      throw problem;
    }
  }

  /** Takes up items that became ready or arrived. */
  async arrive(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.#came.add(id);
      this.#gone.delete(id);
    }
    // Others come with their page, when it is loaded.
    const waiting = ids.filter((id) => !this.next || this.items.has(id));
    this.#count(ids.length - waiting.length);
    await this.#fetchAll(waiting);
  }

  async #fetchAll(waiting: string[]): Promise<void> {
    const work = async (): Promise<void> => {
      for (let id = waiting.shift(); id !== undefined && !this.refusal; id = waiting.shift()) {
        const one = id;
        await this.#once(one, () => this.#fetch(one)).then(
          () => this.#later.calm(),
          (failure: unknown) => this.#miss(one, asProblem(failure)),
        );
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  #miss(id: string, problem: Problem): void {
    const isPassing = problem.status === 0 || problem.status === 429 || problem.status >= 500;
    if (isPassing && !this.refusal) this.#later.add(id, problem.retryAfterS);
    if (problem.code === "media_not_found") this.remove(id);
    this.#endWith(problem);
  }

  /** Removes an item. */
  remove(id: string): void {
    this.#came.delete(id);
    this.#gone.add(id);
    if (!this.items.has(id)) return;
    this.#count(-1);
    this.ids = this.ids.filter((one) => one !== id);
    const items = new Map(this.items);
    items.delete(id);
    this.items = items;
  }

  /** Asks again what the gallery is: by its last page if that is no view, unless that shows another order. */
  async refresh(): Promise<void> {
    const page = this.#pages.at(-1);
    if (!page || !this.#isFree(page)) return this.open();
    try {
      const view = await this.#view(page.cursor, page.limit);
      const known = this.ids.filter((id) => page.ids.has(id));
      const isSame = known.every((id, index) => view.items[index]?.id === id);
      if (!isSame) return await this.open();
      this.#extend(page, view);
    } catch (failure) {
      this.#refuse(asProblem(failure));
    }
  }

  /** Takes up a newer answer of the last page, with what came behind its items. */
  #extend(page: Page, view: View): void {
    if (page !== this.#pages.at(-1)) return;
    const items = view.items.filter((item) => !this.#gone.has(item.id));
    const known = new Set(this.ids);
    this.gallery = view.gallery;
    this.next = view.next_cursor;
    page.ids = new Set([...page.ids, ...items.map(({ id }) => id)]);
    this.#put(items);
    this.ids = [...this.ids, ...items.flatMap(({ id }) => (known.has(id) ? [] : id))];
  }

  /** Takes up what may have been missed before the live stream began. isLate: it began long after the first page. */
  async catchUp(isLate: boolean): Promise<void> {
    if (isLate) await this.refresh();
    // Their end may have been missed.
    await this.arrive(this.ids.filter((id) => this.items.get(id)?.status === "processing"));
  }

  /** Closes the gallery after the end of its live stream, unless a cap was reached: then its viewers have an hour. */
  async end(problem: Problem): Promise<void> {
    const [id] = this.ids;
    if (problem.status !== 404 || id === undefined) this.close(problem);
    else await this.#fetch(id).catch((failure: unknown) => this.#endWith(asProblem(failure)));
  }

  #endWith(problem: Problem): void {
    if (problem.status === 401 || problem.code === "gallery_not_found") this.close(problem);
  }

  /** Shows a refusal in place of the gallery. */
  close(problem: Problem): void {
    this.#opened += 1;
    this.#later.clear();
    this.refusal = problem;
    this.gallery = undefined;
    this.ids = [];
    this.items = new Map();
    this.next = null;
    this.#pages = [];
  }

  async #first(): Promise<Loaded> {
    const loaded = { ids: [], items: new Map(), pages: [], next: null } as unknown as Loaded;
    const view = await this.#view(null, FIRST_ITEMS);
    this.loadedAt = Date.now();
    return this.#take(loaded, null, view, FIRST_ITEMS);
  }

  async #further(loaded: Loaded, limit: number): Promise<Loaded> {
    return this.#take(loaded, loaded.next, await this.#view(loaded.next, limit), limit);
  }

  #take(loaded: Loaded, cursor: string | null, view: View, limit: number): Loaded {
    const ids = view.items.map((item) => item.id);
    loaded.pages.push({ cursor, anchor: loaded.ids.at(-1), limit, ids: new Set(ids) });
    for (const item of view.items) {
      if (this.#gone.has(item.id)) continue;
      if (!loaded.items.has(item.id)) loaded.ids.push(item.id);
      loaded.items.set(item.id, item);
      this.#bornAt.set(item.id, Date.now());
    }
    loaded.gallery = view.gallery;
    loaded.next = view.next_cursor;
    return loaded;
  }

  async #more(missing: number): Promise<void> {
    const opened = this.#opened;
    const loaded = { ids: [...this.ids], items: new Map(this.items), pages: [...this.#pages], next: this.next } as Loaded;
    await this.#further(loaded, Math.min(Math.max(missing, PAGE_ITEMS), MOST_PAGE_ITEMS));
    if (opened !== this.#opened) return;
    for (const id of loaded.ids) if (this.items.has(id)) loaded.items.set(id, this.items.get(id) as Item);
    loaded.ids = loaded.ids.filter((id) => this.items.has(id) || !this.ids.includes(id));
    this.#show(loaded);
  }

  #show(loaded: Loaded): void {
    this.gallery = loaded.gallery;
    this.items = new Map(loaded.items);
    this.ids = [...loaded.ids];
    this.next = loaded.next;
    this.#pages = loaded.pages;
    this.refusal = undefined;
    this.trouble = undefined;
  }

  async #view(cursor: string | null, limit: number): Promise<View> {
    const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const view = await request<View>("GET", `v1/g/${this.code}?limit=${limit}${after}`, { access: this.access });
    this.trouble = undefined;
    return view;
  }

  /** Whether a page can be had again without a view. */
  #isFree(page: Page): boolean {
    return page.cursor !== null && page.anchor !== undefined && this.items.has(page.anchor);
  }

  async #again(page: Page): Promise<void> {
    this.#put((await this.#view(page.cursor, page.limit)).items.filter((item) => this.items.has(item.id)));
  }

  async #fetch(id: string): Promise<void> {
    const item = await request<Item>("GET", `v1/media/${encodeURIComponent(id)}`, { access: this.access });
    if (this.#gone.has(id)) return;
    if (!this.items.has(id)) this.#count(1);
    this.#put([item]);
    this.ids = withId(this.ids, id);
  }

  #put(found: readonly Item[]): void {
    const items = new Map(this.items);
    for (const item of found) {
      items.set(item.id, item);
      this.#bornAt.set(item.id, Date.now());
    }
    this.items = items;
  }

  #count(more: number): void {
    if (this.gallery) this.gallery = { ...this.gallery, item_count: Math.max(this.gallery.item_count + more, 0) };
  }

  #once(key: string, work: () => Promise<void>): Promise<void> {
    const running = this.#renewals.get(key) ?? work().finally(() => this.#renewals.delete(key));
    this.#renewals.set(key, running);
    return running;
  }

  /** A gallery that is shown stays shown if it cannot be reached; a cap that was reached leaves an hour for it. */
  #refuse(problem: Problem): void {
    if (this.gallery && problem.status !== 401) this.trouble = problem;
    else this.close(problem);
  }
}
