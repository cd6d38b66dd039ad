import { expect, test, vi } from "vitest";
import { guard, isUnfinished, mayLeave } from "../src/upload/leaving";

test("without unfinished files no one is asked", async () => {
  const ask = vi.fn(async () => false);
  const end = guard({ isUnfinished: () => false, ask });
  expect(await mayLeave()).toBe(true);
  expect(ask).not.toHaveBeenCalled();
  end();
});

test("the person decides about unfinished files, in one dialog at a time", async () => {
  let answer: (isLeaving: boolean) => void = () => {};
  const ask = vi.fn(() => new Promise<boolean>((resolve) => (answer = resolve)));
  const end = guard({ isUnfinished: () => true, ask });
  const both = [mayLeave(), mayLeave()];
  answer(false);
  expect(await Promise.all(both)).toEqual([false, false]);
  expect(ask).toHaveBeenCalledTimes(1);
  const again = mayLeave();
  answer(true);
  expect(await again).toBe(true);
  end();
  expect(isUnfinished()).toBe(false);
});
