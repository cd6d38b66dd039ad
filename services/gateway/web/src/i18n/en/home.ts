import type { Catalogue } from "../index";

export default {
  lead: "Photos and films by a short link, in the quality they were taken.",
} as const satisfies Catalogue;
