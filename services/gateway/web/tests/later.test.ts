import { afterEach, expect, test, vi } from "vitest";
import type { Item } from "../src/api";
import { fakeBrowser, json } from "./browser";
import { itemOf } from "./item";

afterEach(() => {
  vi.useRealTimers();
});

const NEW = itemOf({ id: "item-2" });

/** A gallery of one item. answers: to the requests of the new item, then the item itself. */
async function opened(answers: (() => Response)[]) {
  vi.useFakeTimers();
  const items: Item[] = [itemOf({ id: "item-1" })];
  const { asked } = fakeBrowser(({ path }) => {
    if (path.startsWith("v1/media/")) return (answers.shift() ?? (() => json(NEW)))();
    return json({ gallery: { title: null, item_count: items.length }, items, next_cursor: null });
  });
  const { Collection } = await import("../src/gallery/collection.svelte");
  const collection = new Collection("abcd");
  await collection.open();
  asked.length = 0;
  return { collection, asked };
}

const busy = (): Response => Response.json({ code: "too_many_requests" }, { status: 429, headers: { "Retry-After": "7" } });
const away = (): Response => {
  throw new TypeError("away");
};

test("an item that cannot be had for a moment comes later, not before Retry-After", async () => {
  const { collection, asked } = await opened([busy, away, () => json({ code: "upstream_unavailable" }, 503)]);
  await collection.arrive([NEW.id]);
  await vi.advanceTimersByTimeAsync(6_900);
  expect([asked.length, collection.ids]).toEqual([1, ["item-1"]]);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect([asked.length, collection.ids, collection.gallery?.item_count]).toEqual([4, ["item-1", NEW.id], 2]);
});

test("an item that is gone is not asked for again, nor one that goes while it is waited for", async () => {
  const { collection, asked } = await opened([() => json({ code: "media_not_found" }, 404), away]);
  await collection.arrive([NEW.id]);
  await collection.arrive([NEW.id]);
  collection.remove(NEW.id);
  await vi.advanceTimersByTimeAsync(120_000);
  expect([asked.length, collection.ids]).toEqual([2, ["item-1"]]);
});

test("nothing is asked for once the gallery is closed", async () => {
  const { collection, asked } = await opened([away, () => json({ code: "gallery_not_found" }, 404)]);
  await collection.arrive([NEW.id]);
  await collection.arrive([NEW.id]);
  expect(collection.refusal?.code).toBe("gallery_not_found");
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).toHaveLength(2);
});
