import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type FieldError, Problem } from "../src/api/problem";
import type { Promised } from "../src/upload/calls";
import { matched } from "../src/upload/choosing";
import type { KeptFile } from "../src/upload/database";
import { Entry, type State, totals } from "../src/upload/entry.svelte";
import { contentType } from "../src/upload/formats";
import { Pace } from "../src/upload/pace";
import { isTemporary, pauseMs } from "../src/upload/patience";
import { Sha256 } from "../src/upload/sha256";
import { signBatch } from "../src/upload/signing";
import { remedy, Urls } from "../src/upload/transferring";

function entry(name: string, more: Partial<KeptFile> = {}): Entry {
  const record = { key: name, galleryId: "g", name, size: 100, type: "image/jpeg", lastModified: 1, keptAt: 0 };
  return new Entry({ ...record, etags: {}, ...more }, undefined);
}

test.each([0, 1, 55, 56, 63, 64, 65, 119, 1000, 100_003])("the digest of %i bytes in pieces is SHA-256", (size) => {
  const bytes = Uint8Array.from({ length: size }, (_, at) => (at * 31) % 251);
  for (const piece of [1, 64, 97, 4096]) {
    const sum = new Sha256();
    for (let at = 0; at < size; at += piece) sum.update(bytes.subarray(at, at + piece));
    expect(sum.digest()).toBe(createHash("sha256").update(bytes).digest("hex"));
  }
});

test.each([
  ["DSC_1.JPG", "", "image/jpeg"],
  ["IMG.heic", "", "image/heic"],
  ["clip.mov", "video/mp4", "video/quicktime"],
  ["unknown.xyz", "image/new", "image/new"],
  ["notes.txt", "text/plain", undefined],
  ["IMG_1.XMP", "text/xml", "application/rdf+xml"],
  ["drawing", "", undefined],
])("%s of type %s is declared as %s", (name, type, declared) => {
  expect(contentType({ name, type })).toBe(declared);
});

test("files that are chosen again are found by name, size and time, each once", () => {
  const needed = [entry("a.jpg").record, entry("b.jpg").record, entry("b.jpg", { key: "b2", size: 7 }).record];
  const file = (name: string, size = 100, lastModified = 1) => ({ file: { name, size, lastModified } });
  const chosen = [file("b.jpg"), file("b.jpg"), file("a.jpg", 100, 2), file("c.jpg")];
  const { pairs, others } = matched(needed, chosen);
  expect(pairs.map(([one]) => one.key)).toEqual(["b.jpg"]);
  expect(others).toEqual(chosen.slice(1));
});

test("the time left comes from the pace of the last seconds", () => {
  const pace = new Pace();
  for (const [at, bytes] of [[0, 0], [1000, 100], [2000, 300]] as const) pace.note(at, bytes);
  expect(pace.secondsFor(1000)).toBeUndefined();
  pace.note(4000, 800);
  expect(pace.secondsFor(1000)).toBe(5);
  pace.note(60_000, 800); // a pause
  expect(pace.secondsFor(1000)).toBeUndefined();
});

test("waits grow, and a Retry-After is never shortened", () => {
  expect([0, 1, 2, 9].map((attempt) => pauseMs(attempt, 0, 1))).toEqual([200, 400, 800, 10_000]);
  expect(pauseMs(0, 0, 0)).toBe(100);
  expect(pauseMs(0, 17)).toBe(17_000);
});

test.each([
  [0, "offline", true],
  [429, "too_many_uploads", true],
  [503, "overloaded", true],
  [409, "claim_in_progress", true],
  [507, "storage_full", false],
  [403, "quota_exceeded", false],
])("%i %s passes by itself: %s", (status, code, passes) => {
  expect(isTemporary(new Problem(status, code))).toBe(passes);
});

test.each([
  [403, "AccessDenied", "renew"],
  [400, "ExpiredToken", "renew"],
  [404, "NoSuchUpload", "renew"],
  [0, "offline", "repeat"],
  [503, "SlowDown", "repeat"],
  [400, "BadDigest", "repeat"],
  [507, "InsufficientStorage", "give up"],
  [400, "ContentLengthMismatch", "give up"],
])("after %i %s of the store: %s", (status, code, next) => {
  expect(remedy({ status, code })).toBe(next);
});

test("URLs are used until a minute before their end", () => {
  const urls = new Urls();
  urls.add([{ number: 3, url: "u", headers: {} }], 900, 1000);
  expect(urls.take(3, 840_999)?.url).toBe("u");
  expect(urls.take(3, 841_000)).toBeUndefined();
  expect(urls.take(4, 1000)).toBeUndefined();
});

const alone = (...names: string[]): Entry[][] => names.map((name) => [entry(name)]);
const promised = (file: KeptFile): Promised => ({ id: file.name, media_id: "m", method: "single", expires_in: 900 });

test("files that the server names are refused, and the others are declared without them", async () => {
  const calls: string[][] = [];
  const errors: FieldError[] = [{ field: "files.1.size", code: "file_too_large", message: "" }];
  const outcomes = await signBatch(alone("a", "b", "c"), async (files) => {
    calls.push(files.map(({ name }) => name));
    if (files.length === 3) throw new Problem(413, "file_too_large", "", 0, "", errors);
    return files.map(promised);
  });
  expect(calls).toEqual([["a", "b", "c"], ["a", "c"]]);
  expect(outcomes.map((one) => [one.entry.record.name, "problem" in one && one.problem.code])).toEqual([
    ["b", "file_too_large"],
    ["a", false],
    ["c", false],
  ]);
});

test("a refusal that names no file is about all of them", async () => {
  const outcomes = await signBatch(alone("a", "b"), () => Promise.reject(new Problem(403, "quota_exceeded")));
  expect(outcomes.map((one) => "problem" in one && one.problem.code)).toEqual(["quota_exceeded", "quota_exceeded"]);
});

test("a batch that is too much is halved, with another key each time", async () => {
  const keys = new Set<string>();
  const sizes: number[] = [];
  const outcomes = await signBatch(alone("a", "b", "c", "d", "e"), async (files, key) => {
    keys.add(key);
    sizes.push(files.length);
    if (files.length > 2) throw new Problem(429, "too_much_promised");
    return files.map(promised);
  });
  expect(sizes).toEqual([5, 3, 2, 1, 2]);
  expect(keys.size).toBe(5);
  expect(outcomes.map((one) => one.entry.record.name)).toEqual(["a", "b", "c", "d", "e"]);
});

test("a picture and its sidecar stay in one call, and without the picture there is no sidecar", async () => {
  const pairs = ["a", "b", "c"].map((name) => [entry(`${name}.CR3`), entry(`${name}.xmp`)]);
  const calls: string[][] = [];
  const outcomes = await signBatch(pairs, async (files) => {
    const names = files.map(({ name }) => name);
    calls.push(names);
    if (names.length > 4) throw new Problem(429, "too_much_promised");
    const at = names.findIndex((name) => name === "a.CR3" || name === "c.xmp");
    if (at >= 0) throw new Problem(413, "file_too_large", "", 0, "", [{ field: `files.${at}.size`, code: "", message: "" }]);
    return files.map(promised);
  });
  expect(calls.map((names) => names.join(" "))).toEqual([
    "a.CR3 a.xmp b.CR3 b.xmp c.CR3 c.xmp",
    "a.CR3 a.xmp b.CR3 b.xmp",
    "b.CR3 b.xmp",
    "c.CR3 c.xmp",
    "c.CR3",
  ]);
  const refused = outcomes.filter((one) => "problem" in one).map((one) => one.entry.record.name);
  expect(refused).toEqual(["a.CR3", "a.xmp", "c.xmp"]);
});

test("the totals count what is sent, and leave out what is not", () => {
  const states: [State, number][] = [["ready", 0], ["checking", 0], ["sending", 40], ["refused", 10], ["duplicate", 0]];
  const entries = states.map(([state, sentBytes]) => ({ state, sentBytes, record: entry("x").record }));
  expect(totals(entries)).toEqual({
    files: 5,
    done: 2,
    refused: 1,
    missing: 0,
    bytes: 300,
    sentBytes: 240,
    isSending: true,
  });
  expect(totals(entries.slice(0, 2)).isSending).toBe(false);
});

test("a file without its bytes waits until it is chosen again, and keeps what was sent", () => {
  const one = entry("film.mp4", { etags: { 1: "x" }, plan: { id: "u", mediaId: "m", method: "multipart", partSize: 5 } });
  expect(one.state).toBe("missing");
  one.found({ file: new File(["x"], "film.mp4") });
  expect([one.state, one.record.etags, one.isHashed]).toEqual(["waiting", { 1: "x" }, true]);
  one.restart();
  expect([one.state, one.record.plan, one.record.etags]).toEqual(["waiting", undefined, {}]);
});
