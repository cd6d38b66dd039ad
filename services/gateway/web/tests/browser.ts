import { vi } from "vitest";

export interface Asked {
  path: string;
  headers: Record<string, string>;
}

type Answer = (asked: Asked) => Response | Promise<Response>;

/** Stands in for what the sources use of a browser. asked: the requests, in order. */
export function fakeBrowser(answer: Answer): { asked: Asked[]; page: EventTarget & { hidden: boolean }; window: EventTarget } {
  const asked: Asked[] = [];
  const page = Object.assign(new EventTarget(), { hidden: false, documentElement: { dataset: { root: "./" } }, baseURI: "" });
  const window = new EventTarget();
  vi.stubGlobal("document", page);
  vi.stubGlobal("location", { href: "https://kappi.test/" });
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window));
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    const one = { path: url.replace("https://kappi.test/", ""), headers: init.headers as Record<string, string> };
    asked.push(one);
    init.signal?.throwIfAborted();
    const given = await answer(one);
    return given;
  });
  return { asked, page, window };
}

export const json = (document: unknown, status = 200): Response => Response.json(document, { status });
