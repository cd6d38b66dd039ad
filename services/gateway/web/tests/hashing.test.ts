import { beforeEach, expect, test, vi } from "vitest";
import { Hashing } from "../src/upload/hashing";

let workers: FakeWorker[];

class FakeWorker extends EventTarget {
  asked: number[] = [];
  isTerminated = false;
  constructor() {
    super();
    workers.push(this);
  }
  postMessage({ id }: { id: number }): void {
    this.asked.push(id);
  }
  terminate(): void {
    this.isTerminated = true;
  }
  answer(sha256: string): void {
    this.dispatchEvent(new MessageEvent("message", { data: { id: this.asked.at(-1), sha256 } }));
  }
}

beforeEach(() => {
  workers = [];
  vi.stubGlobal("Worker", FakeWorker);
});

test("a worker that failed is replaced, and its file goes to the next one", async () => {
  const hashing = new Hashing();
  const digest = hashing.digest(new Blob(["a"]));
  workers[0]?.dispatchEvent(new Event("error"));
  expect(workers.map((worker) => worker.isTerminated)).toEqual([true, false]);
  workers[1]?.answer("abc");
  expect(await digest).toBe("abc");
});

test("after a second failure files go without a digest", async () => {
  const hashing = new Hashing();
  const digest = hashing.digest(new Blob(["a"]));
  workers[0]?.dispatchEvent(new Event("error"));
  workers[1]?.dispatchEvent(new Event("error"));
  expect(await digest).toBeUndefined();
  expect(await hashing.digest(new Blob(["b"]))).toBeUndefined();
  expect(workers).toHaveLength(2);
});

test("a browser without workers gives no digests", async () => {
  vi.stubGlobal("Worker", undefined);
  expect(await new Hashing().digest(new Blob(["a"]))).toBeUndefined();
});
