import { beforeEach, expect, test, vi } from "vitest";
import type { Gallery } from "../src/api";
import { fakeBrowser } from "./browser";

const ANNA = { id: "1", name: "Anna", key: "kappi_anna" };
const gallery = (contributions: Gallery["contributions"]) => ({ id: "019c", contributions }) as Gallery;
let storage: Map<string, string>;

beforeEach(() => {
  storage = new Map();
  fakeBrowser(() => new Response());
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => storage.get(name) ?? null,
    setItem: (name: string, value: string) => storage.set(name, value),
    removeItem: (name: string) => storage.delete(name),
  });
});

test("the page of a drop finds the key by the gallery's code, other pages do not need it", async () => {
  const { contributorOf, forgetContributor, keepContributor } = await import("../src/contribute/contributor");
  expect(keepContributor(gallery("drop"), "abcd", ANNA)).toBe(true);
  expect(storage.get("kappi.contributor-of.abcd")).toBe(ANNA.key);
  keepContributor(gallery("open"), "abcd", ANNA);
  expect(storage.has("kappi.contributor-of.abcd")).toBe(false);
  expect(contributorOf("019c")).toEqual(ANNA);
  keepContributor(gallery("drop"), "abcd", ANNA);
  forgetContributor("019c", "abcd");
  expect(storage.size).toBe(0);
});
