/**
 * The login of this browser.
 *
 * The access token is in memory only. The refresh token is in localStorage, so that a login outlives the tab.
 * It is valid once, and its second use ends the login: a lock lets one tab refresh at a time, with the token
 * that the last one got.
 */

import { get, writable } from "svelte/store";
import { Problem, request } from "../api";

interface Tokens {
  access_token: string;
  refresh_token: string;
  expires_in: number;
  device_token?: string | null;
}

interface AccessToken {
  token: string;
  until: number;
}

const REFRESH_TOKEN = "kappi.refresh-token";
const DEVICE_TOKEN = "kappi.device-token";
const LOCK = "kappi.session";
/** An access token is renewed before its end, so that a request under way does not fail. */
const MARGIN_MS = 30_000;

let access: AccessToken | undefined;
/** Without storage, as in some private windows, a login lasts as long as the tab. */
const inMemory = new Map<string, string>();

/** Whether an account is logged in, in any tab of this browser. */
export const signedIn = writable(stored(REFRESH_TOKEN) !== undefined);

const otherTabs = new BroadcastChannel(LOCK);
otherTabs.addEventListener("message", ({ data }: MessageEvent<AccessToken | undefined>) => {
  access = data;
  signedIn.set(data !== undefined);
});

/** Returns a valid access token; undefined without a login. Throws Problem. */
export async function currentToken(): Promise<string | undefined> {
  return isFresh(access) ? access.token : refreshed();
}

/**
 * Sends a request with the access token. If the token is refused, it is renewed once.
 *
 * Throws Problem; its code is `credentials_missing` without a login, also if it has ended.
 */
export async function asAccount<T>(send: (token: string) => Promise<T>): Promise<T> {
  const token = await currentToken();
  if (token === undefined) throw new Problem(401, "credentials_missing");
  try {
    return await send(token);
  } catch (failure) {
    if (!(failure instanceof Problem) || failure.code !== "access_token_invalid") throw failure;
    if (access?.token === token) access = undefined;
    const next = await currentToken();
    if (next === undefined) throw new Problem(401, "credentials_missing");
    return send(next);
  }
}

/** Throws Problem, such as `invalid_grant`. */
export async function signIn(email: string, password: string): Promise<void> {
  const device = stored(DEVICE_TOKEN);
  await tokens({ grant_type: "password", username: email, password, ...(device ? { device_token: device } : {}) });
}

/** Ends the login here, also if the service cannot be told. */
export async function signOut(): Promise<void> {
  const token = stored(REFRESH_TOKEN);
  forget();
  if (token) await request("POST", "v1/oauth/revoke", { body: new URLSearchParams({ token }) }).catch(() => undefined);
}

function refreshed(): Promise<string | undefined> {
  return alone(async () => {
    if (isFresh(access)) return access.token; // another tab, or another call, was first
    const token = stored(REFRESH_TOKEN);
    if (token === undefined) {
      if (get(signedIn)) signedIn.set(false);
      return undefined;
    }
    try {
      return await tokens({ grant_type: "refresh_token", refresh_token: token });
    } catch (failure) {
      if (!(failure instanceof Problem) || !["invalid_grant", "account_suspended"].includes(failure.code)) throw failure;
      forget();
      return undefined;
    }
  });
}

async function tokens(form: Record<string, string>): Promise<string> {
  const sentAt = Date.now();
  const answer = await request<Tokens>("POST", "v1/oauth/token", { body: new URLSearchParams(form) });
  keep(REFRESH_TOKEN, answer.refresh_token);
  if (answer.device_token) keep(DEVICE_TOKEN, answer.device_token);
  access = { token: answer.access_token, until: sentAt + answer.expires_in * 1000 };
  otherTabs.postMessage(access);
  signedIn.set(true);
  return answer.access_token;
}

function forget(): void {
  access = undefined;
  drop(REFRESH_TOKEN);
  otherTabs.postMessage(undefined);
  signedIn.set(false);
}

// Locks exist on HTTPS and localhost only. Elsewhere two tabs that refresh in the same moment rely on the
// service, which takes the repetition of a refresh within seconds.
let last: Promise<unknown> = Promise.resolve();
function alone<T>(act: () => Promise<T>): Promise<T> {
  if ("locks" in navigator) return navigator.locks.request(LOCK, act) as Promise<T>;
  const mine = last.then(act);
  last = mine.catch(() => undefined);
  return mine;
}

function isFresh(token: AccessToken | undefined): token is AccessToken {
  return token !== undefined && token.until - Date.now() > MARGIN_MS;
}

function stored(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? undefined;
  } catch {
    return inMemory.get(name);
  }
}
function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    inMemory.set(name, value);
  }
}
function drop(name: string): void {
  inMemory.delete(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // nothing was kept
  }
}
