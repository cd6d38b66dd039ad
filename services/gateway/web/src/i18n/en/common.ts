import type { Catalogue } from "../index";

export default {
  offline: "There is no connection at the moment.",
  tryAgain: "Try again",
  close: "Close",
  failed: "That did not work.",
} as const satisfies Catalogue;
