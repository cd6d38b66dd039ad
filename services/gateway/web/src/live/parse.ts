/** Server-Sent Events (WHATWG HTML, 9.2.6), without a page. */

export interface Told {
  kind: string;
  data: unknown;
}

/** Reads a stream piece by piece. lastId: to continue with. retryMs: the wait that the server asks for. */
export class Parser {
  lastId = "";
  retryMs: number | undefined;
  #rest = "";
  #kind = "";
  #data = "";
  #id: string | undefined;

  /** Returns the events that end in a piece of text. */
  read(text: string): Told[] {
    const all = this.#rest + text;
    const whole = all.replace(/\r$/, ""); // a line feed may follow in the next piece
    const lines = whole.split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + all.slice(whole.length);
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): Told[] {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#kind = value;
    if (name === "data") this.#data += (this.#data && "\n") + value;
    if (name === "id" && !value.includes("\0")) this.#id = value;
    if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }

  #dispatch(): Told[] {
    const told = { kind: this.#kind || "message", data: this.#data };
    if (this.#id !== undefined) this.lastId = this.#id;
    this.#kind = this.#data = "";
    this.#id = undefined;
    return told.data === "" ? [] : [{ kind: told.kind, data: parsed(told.data) }];
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the wait before the next try, with jitter, so that the clients of a gateway do not return at once. */
export function backoffMs(failures: number, random: number = Math.random()): number {
  return Math.min(1000 * 2 ** failures, 60_000) * (0.5 + random / 2);
}
