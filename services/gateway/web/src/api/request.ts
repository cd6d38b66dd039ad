import { Problem } from "./problem";
import { joinSignals } from "./signals";

/** The credentials of one request; the API takes each in a header of its own. */
export interface Access {
  code?: string | undefined;
  password?: string | undefined;
  galleryKey?: string | undefined;
  contributorKey?: string | undefined;
  token?: string | undefined;
}

export interface Options {
  access?: Access | undefined;
  /** Sent as JSON; URLSearchParams as a form. */
  body?: unknown;
  signal?: AbortSignal | undefined;
  idempotencyKey?: string | undefined;
}

const TIMEOUT_MS = 30_000;

/** The address of the service's root, which may lie below a path. */
export const ROOT = new URL(document.documentElement.dataset["root"] || "./", location.href).href;

/** Returns the address of a path below the service's root, such as `v1/galleries`. */
export const address = (path: string): string => ROOT + path;

/** Returns the headers that carry the credentials. */
export function headersOf(access: Access): Record<string, string> {
  const headers: Record<string, string> = {};
  if (access.code !== undefined) headers["X-Gallery-Code"] = access.code;
  if (access.password !== undefined) headers["X-Gallery-Password"] = asBytes(access.password);
  if (access.galleryKey !== undefined) headers["X-Gallery-Key"] = access.galleryKey;
  if (access.contributorKey !== undefined) headers["X-Contributor-Key"] = access.contributorKey;
  if (access.token !== undefined) headers["Authorization"] = `Bearer ${access.token}`;
  return headers;
}

/**
 * Sends one request to the API and returns its JSON document, undefined for an empty answer.
 *
 * path: below the service's root, without a leading slash. Throws Problem.
 */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...headersOf(options.access ?? {}) };
  const isForm = options.body instanceof URLSearchParams;
  if (options.body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  if (options.idempotencyKey !== undefined) headers["Idempotency-Key"] = options.idempotencyKey;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let answer: Response;
  try {
    answer = await fetch(address(path), {
      method,
      headers,
      body: isForm ? (options.body as URLSearchParams) : options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ? joinSignals(options.signal, timeout) : timeout,
      credentials: "omit",
    });
  } catch (failure) {
    if (options.signal?.aborted) throw failure;
    throw new Problem(0, "offline");
  }
  if (!answer.ok) throw await Problem.of(answer);
  return (answer.status === 204 ? undefined : await answer.json().catch(() => undefined)) as T;
}

// A header carries bytes: text beyond Latin-1 is sent as its UTF-8 bytes.
function asBytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
