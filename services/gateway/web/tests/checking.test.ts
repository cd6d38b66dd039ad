import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Item } from "../src/api";
import { Problem } from "../src/api/problem";
import { Checking } from "../src/upload/checking";
import { fakeBrowser } from "./browser";
import { itemOf } from "./item";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const PROCESSING: Item = itemOf({ status: "processing" });

test("items are asked for in growing intervals, a few at a time and each in its turn", async () => {
  fakeBrowser(() => new Response());
  const asked: string[] = [];
  const checking = new Checking(async (id) => {
    asked.push(id);
    return PROCESSING;
  });
  for (let number = 0; number < 12; number += 1) void checking.watch(String(number));
  await vi.advanceTimersByTimeAsync(1500);
  expect(asked).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
  await vi.advanceTimersByTimeAsync(2250);
  expect(asked.slice(8)).toEqual(["8", "9", "10", "11", "0", "1", "2", "3"]);
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length - before).toBeLessThan(8 * 10);
  checking.close();
});

test("a final refusal ends it, and one that passes does not", async () => {
  fakeBrowser(() => new Response());
  const answers: (Item | Problem)[] = [new Problem(503, "overloaded"), new Problem(404, "media_not_found")];
  const checking = new Checking(async () => {
    const answer = answers.shift();
    if (!answer || answer instanceof Problem) throw answer;
    return answer;
  });
  const found = checking.watch("a");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await found).toMatchObject({ code: "media_not_found" });
});

test("nothing is asked in a hidden tab, until it is shown", async () => {
  const { page } = fakeBrowser(() => new Response());
  const ask = vi.fn(async () => itemOf());
  const checking = new Checking(ask);
  page.hidden = true;
  const found = checking.watch("a");
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ask).not.toHaveBeenCalled();
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  expect(await found).toEqual(itemOf());
});
