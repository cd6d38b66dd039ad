import { afterEach, expect, test, vi } from "vitest";
import type { Item } from "../src/api";
import { fakeBrowser, json } from "./browser";
import { itemOf } from "./item";

afterEach(() => {
  vi.useRealTimers();
});

const ID = (number: number): string => `item-${String(number).padStart(4, "0")}`;

/** A gallery whose stream tells what the test says. isThere: whether the gallery's items can be had. */
async function kept(count: number, waitMs: number) {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const items: Item[] = Array.from({ length: count }, (_, number) => itemOf({ id: ID(number) }));
  let tell = (_: string): void => {};
  const state = { isThere: true };
  const { asked } = fakeBrowser(({ path }) => {
    if (path.endsWith("/live")) {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          tell = (kind) => controller.enqueue(new TextEncoder().encode(`event: ${kind}\ndata: {}\n\n`));
        },
      });
      return new Response(body);
    }
    if (!state.isThere) return json({ code: "gallery_not_found" }, 404);
    if (path.startsWith("v1/media/")) return json(items.find((one) => path.endsWith(one.id)));
    const query = new URL(path, "https://kappi.test/").searchParams;
    const cursor = query.get("cursor");
    const start = cursor === null ? 0 : items.findIndex((one) => one.id === cursor) + 1;
    const page = items.slice(start, start + Number(query.get("limit")));
    const more = start + page.length < items.length;
    return json({ gallery: { item_count: items.length }, items: page, next_cursor: more ? page.at(-1)?.id : null });
  });
  const { Collection } = await import("../src/gallery/collection.svelte");
  const { keepCurrent } = await import("../src/live/keep");
  const collection = new Collection("abcd");
  await collection.open();
  await collection.reach(count);
  asked.length = 0;
  await vi.advanceTimersByTimeAsync(waitMs);
  const stop = keepCurrent(collection);
  await vi.advanceTimersByTimeAsync(1);
  const told = async (kind: string): Promise<void> => {
    tell(kind);
    await vi.advanceTimersByTimeAsync(3000);
  };
  const paths = (): string[] => asked.map(({ path }) => path).filter((path) => !path.endsWith("/live"));
  return { collection, items, told, state, paths, stop };
}

test("a stream that begins with the page asks for nothing", async () => {
  const { told, paths, stop } = await kept(70, 0);
  await told("reset");
  expect(paths()).toEqual([]);
  stop();
});

test("what came before a stream that begins late is taken up, without a view", async () => {
  const { collection, items, told, paths, stop } = await kept(70, 5000);
  items.push(itemOf({ id: ID(70) }), itemOf({ id: ID(71) }));
  await told("reset");
  expect(paths()).toEqual(["v1/g/abcd?limit=200&cursor=item-0059"]);
  expect([collection.ids.slice(-2), collection.gallery?.item_count]).toEqual([[ID(70), ID(71)], 72]);
  stop();
});

test("a gallery that is not opened any more stays shown as long as its items can be had", async () => {
  const open = await kept(2, 0);
  await open.told("gallery_deleted");
  expect([open.collection.refusal, open.paths()]).toEqual([undefined, ["v1/media/item-0000"]]);
  open.stop();
  const gone = await kept(2, 0);
  gone.state.isThere = false;
  await gone.told("gallery_deleted");
  expect(gone.collection.refusal?.code).toBe("gallery_not_found");
  gone.stop();
});
