import { expect, test } from "vitest";
import { backoffMs, Parser } from "../src/live/parse";

const STREAM = 'retry: 1877\nevent: reset\ndata: {}\nid: A\n\n: heartbeat\n\nevent: item_ready\ndata: {"id": "1"}\nid: B\n\nid: C\n\n';

test.each([1, 7, STREAM.length])("events are read from pieces of %i characters", (size) => {
  const parser = new Parser();
  const told = [];
  for (let at = 0; at < STREAM.length; at += size) told.push(...parser.read(STREAM.slice(at, at + size)));
  expect(told).toEqual([
    { kind: "reset", data: {} },
    { kind: "item_ready", data: { id: "1" } },
  ]);
  expect([parser.lastId, parser.retryMs]).toEqual(["C", 1877]);
});

test("an event that breaks off is not told, and its id is not taken", () => {
  const parser = new Parser();
  expect(parser.read('id: A\n\nevent: item_ready\ndata: {"id": "1"}\nid: B\n')).toEqual([]);
  expect(parser.lastId).toBe("A");
});

test("data that is no JSON is told as such", () => {
  const parser = new Parser();
  const told = [..."data: oh\r\ndata: no\r\n\r\n"].flatMap((piece) => parser.read(piece));
  expect(told).toEqual([{ kind: "message", data: undefined }]);
});

test("waits grow, differ, and have an end", () => {
  expect([0, 1, 2, 30].map((failures) => backoffMs(failures, 1))).toEqual([1000, 2000, 4000, 60_000]);
  expect(backoffMs(3, 0)).toBe(4000);
});
