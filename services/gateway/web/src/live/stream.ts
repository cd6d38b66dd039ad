/** The live stream of a gallery (ADR 0054). A request of `fetch` and not an EventSource, which sends no password. */

import { type Access, address, asProblem, headersOf, Problem } from "../api";
import { backoffMs, Parser, type Told } from "./parse";

/** Heartbeats come about every 15 seconds. */
const SILENT_MS = 45_000;
const HIDDEN_MS = 60_000;
/** Refusals that a later try cannot change. */
const FINAL: readonly number[] = [401, 403, 404];

interface Options {
  code: string;
  /** Is asked before each request: a password may come later. */
  access: () => Access;
  ontold: (told: Told) => void;
  /** The stream will not come back. */
  onend: (problem: Problem) => void;
}

/** Follows a gallery until it ends or the returned function is called. Nothing is open while the page is hidden for long. */
export function follow({ code, access, ontold, onend }: Options): () => void {
  const parser = new Parser();
  let isOver = false;
  let failures = 0;
  let running: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let hiding: ReturnType<typeof setTimeout> | undefined;

  async function run(): Promise<void> {
    clearTimeout(timer);
    if (isOver || running) return;
    const own = (running = new AbortController());
    let problem: Problem | undefined;
    try {
      await read(parser, { code, access: access(), stop: own }, (told) => {
        failures = 0;
        if (!isOver) ontold(told);
      });
    } catch (failure) {
      problem = asProblem(failure);
    }
    if (running === own) running = undefined;
    if (isOver || own.signal.reason === "paused") return;
    if (problem && FINAL.includes(problem.status)) {
      stop();
      onend(problem);
      return;
    }
    const wait = problem ? Math.max(problem.retryAfterS * 1000, backoffMs(failures++)) : (parser.retryMs ?? 2000);
    timer = setTimeout(run, wait);
  }

  function pause(): void {
    running?.abort("paused");
    running = undefined;
    clearTimeout(timer);
  }

  function change(): void {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(pause, HIDDEN_MS);
    else void run();
  }

  function wake(): void {
    if (!document.hidden) void run();
  }

  function stop(): void {
    isOver = true;
    pause();
    clearTimeout(hiding);
    document.removeEventListener("visibilitychange", change);
    removeEventListener("online", wake);
  }

  document.addEventListener("visibilitychange", change);
  addEventListener("online", wake);
  if (document.hidden) change();
  void run();
  return stop;
}

async function read(
  parser: Parser,
  { code, access, stop }: { code: string; access: Access; stop: AbortController },
  ontold: (told: Told) => void,
): Promise<void> {
  const headers: Record<string, string> = { ...headersOf(access), Accept: "text/event-stream" };
  if (parser.lastId) headers["Last-Event-ID"] = parser.lastId;
  let silence = setTimeout(() => stop.abort("silent"), SILENT_MS);
  try {
    const signal = stop.signal;
    const answer = await fetch(address(`v1/g/${code}/live`), { headers, credentials: "omit", cache: "no-store", signal });
    if (!answer.ok || !answer.body) throw await Problem.of(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort("silent"), SILENT_MS);
      parser.read(piece.value).forEach(ontold);
    }
  } finally {
    clearTimeout(silence);
  }
}
