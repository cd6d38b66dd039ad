import { expect, test, vi } from "vitest";
import type { Collection } from "../src/gallery/collection.svelte";
import { fakeBrowser, json } from "./browser";
import { itemOf } from "./item";

test("a file can be downloaded after a download was stopped", async () => {
  const { page } = fakeBrowser(() => json({ url: "/store/one" }));
  const followed: string[] = [];
  const createElement = () => {
    const link = { href: "", click: () => followed.push(link.href), remove: () => {} };
    return link;
  };
  Object.assign(page, { baseURI: "https://kappi.test/", createElement, body: { append: () => {} } });
  vi.stubGlobal("window", {});
  const { Downloads } = await import("../src/download/download.svelte");
  const downloads = new Downloads({ access: {}, code: "abcd" } as unknown as Collection);
  const running = downloads.many([itemOf({ id: "1" }), itemOf({ id: "2" })]);
  await vi.waitFor(() => expect(followed).toHaveLength(1));
  downloads.cancel();
  await running;
  await downloads.one("2");
  expect([followed, downloads.failure]).toEqual([Array(2).fill("https://kappi.test/store/one"), undefined]);
});
