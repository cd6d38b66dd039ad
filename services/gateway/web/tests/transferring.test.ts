import { beforeAll, expect, test, vi } from "vitest";
import type { Item } from "../src/api";
import { Problem } from "../src/api/problem";
import type { Calls, Promised } from "../src/upload/calls";
import { Entry } from "../src/upload/entry.svelte";
import { type Sender, StoreRefusal, type Transfer } from "../src/upload/sending";
import { transfer, Urls } from "../src/upload/transferring";

const ITEM = { id: "m", status: "processing" } as Item;
const STATUS: Promised = {
  id: "u",
  media_id: "m",
  method: "multipart",
  expires_in: 900,
  state: "pending",
  multipart: {
    part_size: 5,
    part_count: 3,
    present: [
      { number: 1, size: 5, etag: '"one"' },
      { number: 2, size: 5, etag: '"cut"' },
    ],
    parts: [{ number: 3, url: "three", headers: {} }],
  },
};

beforeAll(() => {
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("removeEventListener", () => {});
});

function film(): Entry {
  const plan = { id: "u", mediaId: "m", method: "multipart" as const, partSize: 5 };
  const record = { key: "k", galleryId: "g", name: "f.mp4", size: 13, type: "video/mp4", lastModified: 1, keptAt: 0 };
  return new Entry({ ...record, plan, etags: { 1: '"one"', 2: '"two"' } }, new File(["x".repeat(13)], "f.mp4"));
}

/** Runs a transfer whose sender does these things, one for each attempt. */
async function run(entry: Entry, attempts: ((one: Transfer) => unknown)[], calls: Partial<Calls>, isFresh = false) {
  const waits: (string | undefined)[] = [];
  const sender = { send: async (one: Transfer) => await attempts.shift()?.(one) } as unknown as Sender;
  const item = await transfer(entry, new Urls(), isFresh, {
    calls: { complete: () => Promise.resolve(ITEM), ...calls } as Calls,
    sender,
    signal: new AbortController().signal,
    onwait: (problem) => waits.push(problem?.code),
    save: () => {},
  });
  return { item, waits, left: attempts.length };
}

test("only parts that were acknowledged here, and that the store still lists so, are left out", async () => {
  const entry = film();
  const seen: unknown[] = [];
  const status = vi.fn(() => Promise.resolve(STATUS));
  const parts = vi.fn((_: string, numbers: number[]) =>
    Promise.resolve({ parts: numbers.map((number) => ({ number, url: `${number}`, headers: {} })), expires_in: 900 }),
  );
  const sending = async (one: Transfer): Promise<void> => {
    seen.push({ ...(await one.present()) }, (await one.sign(3)).url, (await one.sign(2)).url);
  };
  await run(entry, [sending], { status, parts });
  expect(seen).toEqual([{ 1: '"one"' }, "three", "2"]);
  expect(parts.mock.calls).toEqual([["u", [2, 3]]]);
  expect(status).toHaveBeenCalledTimes(1);
});

test("an expired URL is signed anew, and a lost answer of a whole file counts as sent", async () => {
  const refuse = (status: number) => () => {
    throw new StoreRefusal(status, "");
  };
  const { item, left } = await run(film(), [refuse(403), refuse(503), refuse(412)], {});
  expect([item, left]).toEqual([ITEM, 0]);
});

test("a store that refuses again and again is given up", async () => {
  const refuse = () => {
    throw new StoreRefusal(403, "AccessDenied");
  };
  await expect(run(film(), Array.from({ length: 9 }, () => refuse), {})).rejects.toMatchObject({ code: "store_refused" });
}, 20_000);

test("a file that did not arrive is sent again", async () => {
  const complete = vi.fn().mockRejectedValueOnce(new Problem(409, "upload_incomplete")).mockResolvedValue(ITEM);
  const { left } = await run(film(), [() => {}, () => {}], { complete });
  expect([left, complete.mock.calls.length]).toEqual([0, 2]);
});

test("an upload that the server dropped ends with its reason", async () => {
  const status = () => Promise.resolve({ ...STATUS, state: "expired" as const });
  await expect(run(film(), [(one) => one.present()], { status })).rejects.toMatchObject({ code: "upload_expired" });
});
