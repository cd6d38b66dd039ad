import { get } from "svelte/store";
import { beforeEach, expect, test, vi } from "vitest";
import { Problem } from "../src/api/problem";

const request = vi.fn();
vi.mock("../src/api", () => ({ Problem, request }));

/** The storage and the lock that all tabs of a browser share. */
let storage: Map<string, string>;
let last: Promise<unknown>;
/** The refresh token that the service takes; each use replaces it, and a second use ends the login. */
let valid: string | null;
let refreshes: number;

beforeEach(() => {
  storage = new Map([["kappi.refresh-token", "r0"]]);
  last = Promise.resolve();
  valid = "r0";
  refreshes = 0;
  request.mockReset().mockImplementation(async (_method: string, path: string, { body }: { body: URLSearchParams }) => {
    if (path === "v1/oauth/revoke") return (valid = null);
    if (body.get("grant_type") === "refresh_token" && body.get("refresh_token") !== valid) {
      valid = null;
      throw new Problem(400, "invalid_grant");
    }
    refreshes += 1;
    valid = `r${refreshes}`;
    return { access_token: `a${refreshes}`, refresh_token: valid, expires_in: 300, device_token: "d" };
  });
  vi.stubGlobal("BroadcastChannel", Silent);
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => storage.get(name) ?? null,
    setItem: (name: string, value: string) => storage.set(name, value),
    removeItem: (name: string) => storage.delete(name),
  });
  vi.stubGlobal("navigator", {
    locks: { request: (_name: string, act: () => Promise<unknown>) => (last = last.then(act, act)) },
  });
});

/** Tabs that do not hear from each other in time. */
class Silent {
  addEventListener(): void {}
  postMessage(): void {}
}

/** Returns the module as a new tab loads it. */
async function tab(): Promise<typeof import("../src/account/session")> {
  vi.resetModules();
  return import("../src/account/session");
}

test("tabs refresh one after the other, each with the newest token", async () => {
  const tabs = [await tab(), await tab(), await tab()];
  const tokens = await Promise.all(tabs.map((one) => one.currentToken()));
  expect(tokens).toEqual(["a1", "a2", "a3"]);
  expect(storage.get("kappi.refresh-token")).toBe("r3");
});

test("calls of one tab share one refresh, and the token is kept until shortly before its end", async () => {
  const { currentToken } = await tab();
  expect(await Promise.all([currentToken(), currentToken()])).toEqual(["a1", "a1"]);
  vi.useFakeTimers({ now: Date.now() + 280_000 });
  expect(await currentToken()).toBe("a2");
  vi.useRealTimers();
});

test("a refused access token is renewed once", async () => {
  const { asAccount } = await tab();
  const refused = new Problem(401, "access_token_invalid");
  const send = vi.fn().mockRejectedValueOnce(refused).mockResolvedValueOnce("done");
  expect(await asAccount(send)).toBe("done");
  expect(send.mock.calls).toEqual([["a1"], ["a2"]]);
  await expect(asAccount(() => Promise.reject(refused))).rejects.toBe(refused);
});

test("a login that has ended is forgotten", async () => {
  const { asAccount, currentToken, signedIn } = await tab();
  valid = null;
  expect(await currentToken()).toBeUndefined();
  expect(get(signedIn)).toBe(false);
  expect(storage.has("kappi.refresh-token")).toBe(false);
  await expect(asAccount(() => Promise.resolve())).rejects.toMatchObject({ code: "credentials_missing" });
});

test("without an answer the login stays", async () => {
  const { currentToken, signedIn } = await tab();
  request.mockRejectedValueOnce(new Problem(0, "offline"));
  await expect(currentToken()).rejects.toMatchObject({ code: "offline" });
  expect(get(signedIn)).toBe(true);
  expect(await currentToken()).toBe("a1");
});

test("a log-out ends the login here and at the service; the device stays known", async () => {
  const { signOut, signedIn, signIn } = await tab();
  await signIn("ada@example.com", "kettle");
  await signOut();
  expect([valid, get(signedIn)]).toEqual([null, false]);
  expect([...storage]).toEqual([["kappi.device-token", "d"]]);
  await signIn("ada@example.com", "kettle");
  expect(request.mock.lastCall?.[2].body.get("device_token")).toBe("d");
});
