import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ManagedGallery } from "../src/api";
import { type Asked, fakeBrowser, json } from "./browser";
import { itemOf } from "./item";

const GALLERY = { id: "019c" } as ManagedGallery;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function managed(answer: (asked: Asked) => Response) {
  const { asked } = fakeBrowser(answer);
  vi.stubGlobal("BroadcastChannel", EventTarget);
  vi.stubGlobal("localStorage", { getItem: () => null });
  const { Manager } = await import("../src/manage/manager.svelte");
  return { asked, manager: new Manager(GALLERY, "old") };
}

test("a lost answer to the new key is asked for again, with the same key of the request", async () => {
  let isLost = true;
  const { asked, manager } = await managed(() => {
    if (isLost) throw new TypeError("Failed to fetch");
    return json({ access_key: "new" });
  });
  await expect(manager.rotateKey()).rejects.toMatchObject({ code: "offline" });
  isLost = false;
  expect(await manager.rotateKey()).toBe("new");
  await manager.rotateKey();
  const [first, second, third] = asked.map(({ headers }) => [headers["X-Gallery-Key"], headers["Idempotency-Key"]]);
  expect(second).toEqual(first);
  expect(third?.[0]).toBe("new");
  expect(third?.[1]).not.toBe(first?.[1]);
});

test("items in processing are looked at until they are ready, and those that are gone leave the list", async () => {
  const { manager, asked } = await managed(({ path }) => {
    if (path.includes("/019c/media")) {
      const items = ["a", "b", "c"].map((id) => itemOf({ id, status: id === "c" ? "ready" : "processing" }));
      return json({ items, next_cursor: null });
    }
    if (path.endsWith("/a")) return json(itemOf({ id: "a" }));
    return json({ code: "media_not_found" }, 404);
  });
  const { Items } = await import("../src/manage/items.svelte");
  const items = new Items(manager);
  await items.reload();
  items.watchProcessing();
  items.watchProcessing();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(items.list.map(({ id, status }) => [id, status])).toEqual([
    ["a", "ready"],
    ["c", "ready"],
  ]);
  expect(asked.map(({ path }) => path).sort()).toEqual(["v1/galleries/019c/media?limit=200", "v1/media/a", "v1/media/b"]);
});

test("uploads are ended a few at a time, also where one is refused", async () => {
  let open = 0;
  let most = 0;
  const { asked } = fakeBrowser(async ({ path }) => {
    most = Math.max(most, (open += 1));
    await Promise.resolve();
    open -= 1;
    return path.endsWith("/3") ? json({ code: "upload_not_found" }, 404) : new Response(null, { status: 204 });
  });
  const { Calls } = await import("../src/upload/calls");
  await new Calls(async () => ({ galleryKey: "key" })).abortAll(Array.from({ length: 20 }, (_, at) => String(at)));
  expect(new Set(asked.map(({ path }) => path)).size).toBe(20);
  expect(most).toBeLessThanOrEqual(4);
});
