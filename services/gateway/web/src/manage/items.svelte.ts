import { type Item, type ListPage, Problem } from "../api";
import { Checking } from "../upload/checking";
import type { Manager } from "./manager.svelte";
import { moved } from "./order";

const PAGE = 200;
const REMOVALS_AT_ONCE = 4;
const MOST_MOVED = 1000;
const MOST_REMOVED = 1000;

/** The items of a gallery in its order, loaded page by page. */
export class Items {
  list = $state.raw<readonly Item[]>([]);
  isComplete = $state(false);
  readonly byId: ReadonlyMap<string, Item> = $derived(new Map(this.list.map((item) => [item.id, item])));
  readonly order: readonly string[] = $derived(this.list.map((item) => item.id));
  readonly tiles = $derived(this.list.map((item) => ({ id: item.id, ratio: ratioOf(item) })));

  #manager: Manager;
  #cursor: string | null = null;
  #loading: Promise<void> | null = null;
  readonly #watched = new Set<string>();
  readonly #removedContributors = new Set<string>();
  readonly #checking = new Checking((id) => this.#manager.send<Item>("GET", `v1/media/${id}`));

  constructor(manager: Manager) {
    this.#manager = manager;
  }

  /** Loads the next page; a call while it is loading waits for the same page. Throws Problem. */
  loadMore(): Promise<void> {
    this.#loading ??= this.#loadNext().finally(() => (this.#loading = null));
    return this.#loading;
  }

  /** Loads the list anew from its start; others may have added to it. Throws Problem. */
  async reload(): Promise<void> {
    await this.#loading?.catch(() => undefined);
    this.#loading = this.#loadFirst().finally(() => (this.#loading = null));
    await this.#loading;
  }

  /** Takes an item that was added or has changed. */
  put(item: Item): void {
    if (this.byId.has(item.id)) this.list = this.list.map((one) => (one.id === item.id ? item : one));
    else if (this.isComplete) this.list = this.#kept([...this.list, item]); // else it comes with the last page
  }

  /**
   * Puts items before another one, or at the end. They move at once; a refusal moves them back.
   *
   * ids: at most 1,000 are sent at once; more are moved in several requests. Throws Problem.
   */
  async move(ids: ReadonlySet<string>, before: string | null): Promise<void> {
    const old = this.list;
    const going = this.order.filter((id) => ids.has(id));
    this.#arrange(moved(this.order, ids, before));
    try {
      for (let at = 0; at < going.length; at += MOST_MOVED) {
        const sent = going.slice(at, at + MOST_MOVED);
        const answer = await this.#manager.send<{ not_found: string[] }>("POST", this.#manager.path("/order"), {
          ids: sent,
          before,
        });
        this.#drop(new Set(answer.not_found));
      }
    } catch (failure) {
      this.list = old;
      throw failure;
    }
    if (before === null && !this.isComplete) this.#drop(ids); // they come with the last page
  }

  /** Finds the id after the loaded ones, null at the end of the gallery. Throws Problem. */
  readonly behindLoaded = async (): Promise<string | null> => {
    const count = this.list.length;
    await this.loadMore();
    return this.order[count] ?? null;
  };

  /** Sorts all items of the gallery. Throws Problem. */
  async sort(by: "added" | "taken" | "filename"): Promise<void> {
    await this.#manager.send("POST", this.#manager.path("/order"), { sort: by });
    await this.reload();
  }

  /** Throws Problem. */
  async setCaption(id: string, caption: string): Promise<void> {
    this.put(await this.#manager.send<Item>("PATCH", `v1/media/${id}`, { caption: caption || null }));
  }

  /**
   * Deletes items. Those that are gone leave the list, also if a later one is refused.
   *
   * Returns how many. Throws Problem.
   */
  async remove(ids: ReadonlySet<string>): Promise<number> {
    const gone = new Set<string>();
    try {
      if (this.#manager.key === undefined) await this.#removeTogether([...ids], gone);
      else await this.#removeSingly([...ids], gone);
    } finally {
      this.#drop(gone);
    }
    return gone.size;
  }

  /** Takes out what a contributor had added; the server deletes it some time after its answer. */
  dropOf(contributorId: string): void {
    this.#removedContributors.add(contributorId);
    this.list = this.#kept(this.list);
  }

  /** Looks again at the items that are in processing now until they are ready or gone. */
  watchProcessing(): void {
    for (const { id } of this.list.filter(({ status }) => status === "processing")) {
      if (!this.#watched.has(id)) void this.#watch(id);
    }
  }

  /** Ends what `watchProcessing` began. */
  close(): void {
    this.#checking.close();
  }

  async #watch(id: string): Promise<void> {
    this.#watched.add(id);
    const found = await this.#checking.watch(id);
    this.#watched.delete(id);
    if (!(found instanceof Problem)) this.put(found);
    else if (found.status === 404) this.#drop(new Set([id]));
  }

  async #loadNext(): Promise<void> {
    if (this.isComplete) return;
    const page = await this.#page(this.#cursor);
    this.#take([...this.list, ...page.items.filter((item) => !this.byId.has(item.id))], page);
  }

  async #loadFirst(): Promise<void> {
    const page = await this.#page(null);
    this.#take(page.items, page);
  }

  #page(cursor: string | null): Promise<ListPage<Item>> {
    const query = `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
    return this.#manager.send<ListPage<Item>>("GET", this.#manager.path(`/media${query}`));
  }

  #take(list: readonly Item[], page: ListPage<Item>): void {
    this.list = this.#kept(list);
    this.#cursor = page.next_cursor;
    this.isComplete = page.next_cursor === null;
  }

  #kept(list: readonly Item[]): readonly Item[] {
    return list.filter(({ contributor }) => !contributor || !this.#removedContributors.has(contributor.id));
  }

  async #removeTogether(ids: string[], gone: Set<string>): Promise<void> {
    for (let at = 0; at < ids.length; at += MOST_REMOVED) {
      const body = { ids: ids.slice(at, at + MOST_REMOVED), action: "delete" };
      const answer = await this.#manager.send<{ results: { id: string }[] }>("POST", "v1/media/bulk", body);
      for (const { id } of answer.results) gone.add(id); // a refused one had gone before
    }
  }

  async #removeSingly(ids: string[], gone: Set<string>): Promise<void> {
    const removeNext = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        await this.#removeOne(id);
        gone.add(id);
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: REMOVALS_AT_ONCE }, removeNext));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #removeOne(id: string): Promise<void> {
    try {
      await this.#manager.send("DELETE", `v1/media/${id}`);
    } catch (failure) {
      if ((failure as { code?: string }).code !== "media_not_found") throw failure;
    }
  }

  #arrange(order: readonly string[]): void {
    this.list = order.map((id) => this.byId.get(id)).filter((item) => item !== undefined);
  }

  #drop(ids: ReadonlySet<string>): void {
    if (ids.size) this.list = this.list.filter((item) => !ids.has(item.id));
  }
}

function ratioOf(item: Item): number {
  return item.width && item.height ? item.width / item.height : 1;
}
