import { expect, test } from "vitest";
import { codeOf, routeOf } from "../src/home/route";
import { fileNameOf, keyInFragment, managementLink } from "../src/link/management";

const ID = "0197c0de-0000-7000-8000-000000000001";

test.each([
  ["", { name: "share" }],
  ["account", { name: "account" }],
  [`manage/${ID}`, { name: "manage", galleryId: ID }],
  [`manage/${ID}/`, { name: "manage", galleryId: ID }],
  ["manage/x", null],
  ["docs", null],
  ["g/abcd", null],
])("%s is the page %o", (path, route) => {
  expect(routeOf(path)).toEqual(route);
});

test.each([
  ["AbCd", "abcd"],
  [" https://kappi.example/below/g/abcd/?x=1#y ", "abcd"],
  ["a code", null],
  ["", null],
])("%s has the code %s", (text, code) => {
  expect(codeOf(text)).toBe(code);
});

test("a management link carries the key in its fragment", () => {
  const link = managementLink("https://kappi.example/below/", ID, "kappi_abc234");
  expect(link).toBe(`https://kappi.example/below/manage/${ID}#kappi_abc234`);
  expect(keyInFragment(new URL(link).hash)).toBe("kappi_abc234");
});

test.each(["", "#", "#%", "#%20", "#main", "#kappi_", "#kappi_a/b"])("the fragment %j has no key", (fragment) => {
  expect(keyInFragment(fragment)).toBeUndefined();
});

test("the name of the file that keeps the link is one that every system takes", () => {
  expect(fileNameOf('A/B: "c"\u0000')).toBe("Kappi A B c.txt");
  expect(fileNameOf("")).toBe("Kappi gallery.txt");
});
