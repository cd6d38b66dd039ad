import type { Item } from "../src/api";

/** Returns a picture of a gallery, with what a test needs of it. */
export const itemOf = (changes: Partial<Item> = {}): Item => ({
  id: "019c-1",
  gallery_id: "019c",
  filename: "tram.jpg",
  content_type: "image/jpeg",
  kind: "image",
  status: "ready",
  size: 1e6,
  width: 6000,
  height: 4000,
  tags: [],
  attributes: {},
  created_at: "2026-06-01T10:00:00Z",
  original: signed("https://store.test/original"),
  renditions: {},
  ...changes,
});

export const signed = (url: string) => ({ url, expires_at: "2026-06-01T10:10:00Z" });
