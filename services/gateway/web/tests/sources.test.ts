import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const SOURCES = readdirSync("src", { recursive: true, encoding: "utf-8" }).filter((name) => /\.(ts|svelte)$/.test(name));

// What people wrote is only ever text: a page that writes no markup runs no markup of theirs.
test("no source writes markup or runs text", () => {
  const found = SOURCES.filter((name) =>
    /\{@html|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/.test(
      readFileSync(`src/${name}`, "utf-8"),
    ),
  );
  expect(SOURCES.length).toBeGreaterThan(50);
  expect(found).toEqual([]);
});

test("modules stay small", () => {
  const long = SOURCES.filter((name) => readFileSync(`src/${name}`, "utf-8").split("\n").length > 400);
  expect(long).toEqual([]);
});
