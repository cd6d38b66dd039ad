/** The words for refusals of the API, in the language of the page. */

import type { Problem } from "../api";
import { language } from "../i18n";
import { t } from "../i18n/problems";

type Key = Parameters<typeof t>[0];

const BY_CODE: Readonly<Record<string, Key>> = {
  offline: "offline",
  gallery_not_found: "galleryNotFound",
  gallery_key_wrong: "keyWrong",
  gallery_key_missing: "loggedOut",
  credentials_missing: "loggedOut",
  access_token_invalid: "loggedOut",
  gallery_taken_down: "takenDown",
  account_required: "accountRequired",
  media_not_found: "mediaNotFound",
  media_not_ready: "mediaNotReady",
  contributor_not_found: "contributorNotFound",
  quota_exceeded: "quota",
  file_too_large: "fileTooLarge",
  storage_full: "storageFull",
  order_exhausted: "orderExhausted",
  claim_in_progress: "busy",
  email_taken: "emailTaken",
  invalid_grant: "credentialsWrong",
  password_wrong: "passwordWrong",
  account_suspended: "suspended",
  session_not_found: "sessionNotFound",
};

const BY_FIELD_CODE: Readonly<Record<string, Key>> = {
  too_short: "tooShort",
  too_long: "tooLong",
  string_too_long: "tooLong",
  control_character: "controlCharacter",
  too_common: "tooCommon",
  is_email: "isEmail",
  out_of_range: "outOfRange",
  account_required: "accountRequired",
};

/** Returns what a refusal means and what to do next; the API's own words for a code without a message. */
export function explain(problem: Problem): string {
  if (problem.status === 429) return tooMany(problem.retryAfterS);
  const key = BY_CODE[problem.code];
  if (key) return t(key);
  const [field] = problem.errors;
  if (field) return explainField(field);
  if (problem.status >= 500) return t("busy");
  return problem.detail || t("failed");
}

/** Returns the words of each refused field. */
export function byField(problem: Problem): Record<string, string> {
  const found: Record<string, string> = {};
  for (const one of problem.errors) found[one.field] ??= explainField(one);
  if (problem.code === "email_taken") found["email"] = t("emailTaken");
  if (problem.code === "password_wrong") found["current_password"] = t("passwordWrong");
  return found;
}

function explainField({ field, code, message }: { field: string; code: string; message: string }): string {
  if (field === "email") return t("emailInvalid");
  const key = BY_FIELD_CODE[code];
  return key ? t(key) : message;
}

function tooMany(seconds: number): string {
  if (!seconds) return t("tooMany");
  const [count, unit] =
    seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const format = new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" });
  return t("tooManyWait", { wait: format.format(Math.ceil(count)) });
}
