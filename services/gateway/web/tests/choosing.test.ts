import { expect, test } from "vitest";
import { fromTransfer } from "../src/upload/choosing";

const gone = (): Promise<never> => Promise.reject(new DOMException("gone", "NotFoundError"));
const fileHandle = (name: string) => ({ kind: "file", name, getFile: async () => new File(["x"], name) });
const brokenFile = (name: string) => ({ kind: "file", name, getFile: gone });
const folder = (name: string, ...inner: unknown[]) => ({
  kind: "directory",
  name,
  async *values() {
    yield* inner;
  },
});
const brokenFolder = (name: string, ...inner: unknown[]) => ({
  kind: "directory",
  name,
  async *values() {
    yield* inner;
    await gone();
  },
});

async function dropped(...handles: unknown[]): Promise<string[]> {
  const items = handles.map((handle) => ({
    kind: "file",
    getAsFile: () => null,
    webkitGetAsEntry: () => null,
    getAsFileSystemHandle: async () => handle,
  }));
  const chosen = await fromTransfer({ items } as unknown as DataTransfer);
  return chosen.map(({ file, isUnreadable }) => (isUnreadable ? `${file.name}: unreadable` : file.name));
}

test("what cannot be read is named, and the rest of the drop is taken", async () => {
  const inner = brokenFolder("Day 2", fileHandle("b.jpg"));
  expect(await dropped(folder("Trip", brokenFile("a.jpg"), inner, fileHandle("c.jpg")), fileHandle("d.jpg"))).toEqual([
    "a.jpg: unreadable",
    "b.jpg",
    "Day 2: unreadable",
    "c.jpg",
    "d.jpg",
  ]);
});

test("browsers without handles read the entries of a folder, as far as they can", async () => {
  const entries = [
    { isFile: true, name: "a.jpg", file: (_: unknown, refuse: (failure: Error) => void) => refuse(new Error()) },
    { isFile: true, name: "b.jpg", file: (take: (file: File) => void) => take(new File(["x"], "b.jpg")) },
  ];
  const batches = [entries, []];
  const reader = { readEntries: (take: (some: unknown[]) => void) => take(batches.shift() ?? []) };
  const entry = { isFile: false, isDirectory: true, name: "Trip", createReader: () => reader };
  const items = [{ kind: "file", getAsFile: () => null, webkitGetAsEntry: () => entry }];
  const chosen = await fromTransfer({ items } as unknown as DataTransfer);
  expect(chosen.map(({ file, isUnreadable }) => [file.name, isUnreadable === true])).toEqual([
    ["a.jpg", true],
    ["b.jpg", false],
  ]);
});
