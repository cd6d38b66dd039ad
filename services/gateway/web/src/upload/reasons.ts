import type { Problem } from "../api";
import { t } from "../i18n/upload";
import { explain } from "../ui/problem";

type Key = Parameters<typeof t>[0];

/** Codes of the API, reasons of rejected items, and codes of this page. */
const BY_CODE: Readonly<Record<string, Key>> = {
  unsupported_content_type: "reasonType",
  unsupported_type: "reasonType",
  polyglot: "reasonType",
  no_picture: "reasonType",
  file_empty: "reasonEmpty",
  empty: "reasonEmpty",
  file_changed: "reasonChanged",
  file_missing: "reasonChanged",
  file_unreadable: "reasonUnreadable",
  duplicate_chosen: "reasonTwinChosen",
  duplicate_in_gallery: "reasonTwinThere",
  file_too_large: "reasonTooLarge",
  content_mismatch: "reasonMismatch",
  type_mismatch: "reasonMismatch",
  checksum_mismatch: "reasonMismatch",
  corrupt: "reasonDamaged",
  truncated: "reasonDamaged",
  too_many_pixels: "reasonTooMuch",
  too_many_frames: "reasonTooMuch",
  too_long: "reasonTooMuch",
  too_complex: "reasonTooMuch",
  store_refused: "reasonStore",
  contributions_closed: "reasonClosed",
  contributor_key_wrong: "reasonRemoved",
  contribution_limit_exceeded: "reasonLimit",
  quota_exceeded: "reasonQuota",
  sidecar_without_picture: "reasonNoPicture",
  sidecar_repeated: "reasonNoPicture",
  unexpected: "reasonUnexpected",
};

const FINAL: readonly (Key | undefined)[] = [
  "reasonType",
  "reasonEmpty",
  "reasonUnreadable",
  "reasonTooLarge",
  "reasonTooMuch",
  "reasonDamaged",
];

/** Tells why a file was not added. */
export function reason(problem: Problem | undefined): string {
  if (!problem) return "";
  const key = BY_CODE[problem.code];
  return key ? t(key) : explain(problem) || t("reasonUnexpected");
}

/** Tells whether another attempt may succeed. */
export function isRetryable(problem: Problem | undefined): boolean {
  return !FINAL.includes(BY_CODE[problem?.code ?? ""]);
}
