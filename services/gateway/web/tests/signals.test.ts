import { expect, test } from "vitest";
import { joinSignals } from "../src/api/signals";

test("a joined signal aborts with the first of its signals, and with its reason", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const joined = joinSignals(one.signal, other.signal);
  expect(joined.aborted).toBe(false);
  other.abort("stopped");
  one.abort("later");
  expect([joined.aborted, joined.reason]).toEqual([true, "stopped"]);
  expect(joinSignals(new AbortController().signal, other.signal).reason).toBe("stopped");
});
