import type { Catalogue } from "../index";

export default {
  title: "Shared gallery",
} as const satisfies Catalogue;
