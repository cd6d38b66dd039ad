import { beforeEach, expect, test, vi } from "vitest";
import { fakeBrowser, json } from "./browser";

beforeEach(() => {
  vi.useFakeTimers();
});

/** An answer that tells an event, and stays open or ends. */
function stream(text: string, ends = true): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      if (ends) controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

async function following(answers: (() => Response)[], hidden = false) {
  const browser = fakeBrowser(() => (answers.shift() ?? (() => stream("", false)))());
  browser.page.hidden = hidden;
  const { follow } = await import("../src/live/stream");
  const told: string[] = [];
  const ends: number[] = [];
  const access = () => ({ password: "pastel" });
  const stop = follow({ code: "abcd", access, ontold: ({ kind }) => told.push(kind), onend: ({ status }) => ends.push(status) });
  await vi.advanceTimersByTimeAsync(1);
  return { ...browser, told, ends, stop };
}

test("an interrupted stream continues behind its last event, after the time it was told", async () => {
  const { asked, told, stop } = await following([() => stream("retry: 1500\nevent: reset\ndata: {}\nid: A\n\n")]);
  expect([told, asked.length]).toEqual([["reset"], 1]);
  await vi.advanceTimersByTimeAsync(1400);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(asked.map(({ headers }) => headers["Last-Event-ID"])).toEqual([undefined, "A"]);
  expect(asked[0]?.headers["X-Gallery-Password"]).toBe("pastel");
  stop();
});

test("refusals that stay end it, others are waited out", async () => {
  const busy = () => json({ code: "too_many_streams" }, 429);
  const { asked, ends } = await following([busy, () => json({ code: "gallery_not_found" }, 404)]);
  expect([asked.length, ends]).toEqual([1, []]);
  await vi.advanceTimersByTimeAsync(120_000);
  expect([asked.length, ends]).toEqual([2, [404]]);
});

test("a hidden page holds no stream for long, and continues when it is shown", async () => {
  const { asked, page, stop } = await following([() => stream("event: reset\ndata: {}\nid: A\n\n", false)]);
  page.hidden = true;
  page.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(300_000);
  expect(asked).toHaveLength(1);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(1);
  expect(asked.map(({ headers }) => headers["Last-Event-ID"])).toEqual([undefined, "A"]);
  stop();
});

test("a page that begins hidden closes its stream, too, and opens none when it is online again", async () => {
  const { asked, page, window, stop } = await following([() => stream("event: reset\ndata: {}\nid: A\n\n", false)], true);
  await vi.advanceTimersByTimeAsync(61_000);
  window.dispatchEvent(new Event("online"));
  await vi.advanceTimersByTimeAsync(300_000);
  const before = asked.length;
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(1);
  expect([before, asked.length]).toEqual([1, 2]);
  stop();
});
