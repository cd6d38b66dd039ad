import { beforeEach, expect, test, vi } from "vitest";
import type { Item } from "../src/api";
import { type Asked, fakeBrowser, json } from "./browser";
import { itemOf } from "./item";

const ID = (number: number): string => `item-${String(number).padStart(4, "0")}`;
const HOUR_MS = 3_600_000;

let items: Item[];
let title: string;
let asked: Asked[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  items = Array.from({ length: 300 }, (_, number) => itemOf({ id: ID(number) }));
  title = "Lofoten";
  ({ asked } = fakeBrowser(({ path }) => {
    const query = new URL(path, "https://kappi.test/").searchParams;
    if (path.startsWith("v1/media/")) {
      const item = items.find((one) => path.endsWith(one.id));
      return item ? json(item) : json({ code: "media_not_found" }, 404);
    }
    const cursor = query.get("cursor");
    const start = cursor === null ? 0 : items.findIndex((one) => one.id === cursor) + 1;
    const page = items.slice(start, start + Number(query.get("limit")));
    const more = start + page.length < items.length;
    return json({ gallery: { title, item_count: items.length }, items: page, next_cursor: more ? page.at(-1)?.id : null });
  }));
});

async function opened(count = 0) {
  const { Collection } = await import("../src/gallery/collection.svelte");
  const collection = new Collection("abcd");
  await collection.open();
  await collection.reach(count);
  asked.length = 0;
  return collection;
}

const paths = (): string[] => asked.map(({ path }) => path);

test("pages are loaded as far as they are wanted, and once", async () => {
  const collection = await opened();
  expect(collection.ids).toHaveLength(60);
  await Promise.all([collection.reach(100), collection.reach(100)]);
  expect(collection.ids).toHaveLength(260);
  await collection.reach(Infinity);
  expect(collection.ids).toEqual(items.map(({ id }) => id));
  expect(paths()).toEqual(["v1/g/abcd?limit=200&cursor=item-0059", "v1/g/abcd?limit=500&cursor=item-0259"]);
});

test("URLs are renewed with their page if that is no view, else alone", async () => {
  const collection = await opened(260);
  vi.setSystemTime(Date.now() + HOUR_MS);
  await Promise.all([collection.renew(ID(70)), collection.renew(ID(80)), collection.renew(ID(5))]);
  expect(paths()).toEqual(["v1/g/abcd?limit=200&cursor=item-0059", "v1/media/item-0005"]);
  expect([5, 6, 70, 259].map((number) => collection.isAged(ID(number)))).toEqual([false, true, false, false]);
  collection.remove(ID(59)); // the cursor names no item any more
  await collection.renew(ID(90));
  expect(paths().at(-1)).toBe("v1/media/item-0090");
});

test("what is told of is fetched alone, in its place, and counted once", async () => {
  const collection = await opened(Infinity);
  items.push(itemOf({ id: ID(300) }));
  await collection.arrive([ID(300), ID(299)]);
  expect(paths()).toEqual(["v1/media/item-0300", "v1/media/item-0299"]);
  expect([collection.ids.at(-1), collection.gallery?.item_count]).toEqual([ID(300), 301]);
  await collection.arrive([ID(300), "gone"]);
  expect(collection.gallery?.item_count).toBe(301);
  collection.remove(ID(300));
  expect([collection.ids.length, collection.gallery?.item_count]).toEqual([300, 300]);
});

test("an item of a page that is not loaded is counted and not fetched", async () => {
  const collection = await opened();
  await collection.arrive([ID(300)]);
  expect([paths(), collection.ids.length, collection.gallery?.item_count]).toEqual([[], 60, 301]);
});

test("an item that goes while the gallery is loaded stays away", async () => {
  const collection = await opened();
  const loading = collection.open();
  collection.remove(ID(3));
  await loading;
  expect(collection.ids).not.toContain(ID(3));
});

test("a change of the gallery is asked for without a view, unless the order has changed", async () => {
  const collection = await opened(Infinity);
  title = "Lofoten in winter";
  await collection.refresh();
  expect([collection.gallery?.title, paths()]).toEqual([title, ["v1/g/abcd?limit=500&cursor=item-0059"]]);
  asked.length = 0;
  items = [...items.slice(0, 60), ...items.slice(60).reverse()];
  await collection.refresh();
  expect(paths()[1]).toBe("v1/g/abcd?limit=60");
  expect(collection.ids).toEqual(items.map(({ id }) => id));
});

test("a stream that ends with 404 closes a gallery only if its items are gone, too", async () => {
  const { Problem } = await import("../src/api");
  const collection = await opened();
  await collection.end(new Problem(404, "gallery_not_found"));
  expect(collection.refusal).toBeUndefined();
  vi.stubGlobal("fetch", () => Promise.resolve(json({ code: "gallery_not_found" }, 404)));
  await collection.end(new Problem(404, "gallery_not_found"));
  expect([collection.refusal?.code, collection.ids]).toEqual(["gallery_not_found", []]);
});

test("a contributor key that was refused is left out, and the gallery opens without it", async () => {
  const { Collection } = await import("../src/gallery/collection.svelte");
  const collection = new Collection("abcd");
  collection.access.contributorKey = "old";
  const ask = fetch;
  vi.stubGlobal("fetch", (url: string, init: RequestInit) =>
    "X-Contributor-Key" in (init.headers ?? {})
      ? Promise.resolve(json({ code: "contributor_key_wrong" }, 403))
      : ask(url, init),
  );
  await collection.open();
  expect([collection.ids.length, collection.refusal, collection.wrongKey]).toEqual([60, undefined, "old"]);
  expect(paths()).toEqual(["v1/g/abcd?limit=60"]);
});

test("the first request of a page has the key of its contributor", async () => {
  vi.stubGlobal("location", { href: "https://kappi.test/", pathname: "/g/ABCD" });
  const kept: Record<string, string> = { "kappi.contributor-of.abcd": "key" };
  vi.stubGlobal("localStorage", { getItem: (name: string) => kept[name] ?? null });
  const { collection } = await import("../src/gallery/start");
  await collection.opening;
  expect(asked.map(({ path, headers }) => [path, headers["X-Contributor-Key"]])).toEqual([["v1/g/abcd?limit=60", "key"]]);
});

test("a shown gallery stays when it cannot be reached, and closes when it has a password", async () => {
  const collection = await opened();
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("away")));
  await collection.open();
  expect([collection.ids.length, collection.trouble?.code]).toEqual([60, "offline"]);
  vi.stubGlobal("fetch", () => Promise.resolve(json({ code: "gallery_password_required" }, 401)));
  await collection.open();
  expect([collection.ids.length, collection.refusal?.status]).toEqual([0, 401]);
});
