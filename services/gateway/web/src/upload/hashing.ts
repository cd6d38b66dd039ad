import type { Answer, Question } from "./hash.worker";

/** Workers that may fail, as for a lack of memory, before files are sent without digests. */
const MOST_FAILURES = 2;

interface Waiting {
  file: Blob;
  resolve(sha256: string | undefined): void;
}

/** Computes digests of files in a worker, so that the page stays responsive. */
export class Hashing {
  #worker: Worker | undefined;
  #numbers = 0;
  #failures = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** Returns the SHA-256 in hexadecimal; undefined if the file cannot be read, or the browser has no workers. */
  digest(file: Blob): Promise<string | undefined> {
    return new Promise((resolve) => {
      const id = (this.#numbers += 1);
      this.#waiting.set(id, { file, resolve });
      this.#ask(id, file);
    });
  }

  close(): void {
    this.#end();
    this.#giveUp();
  }

  #ask(id: number, file: Blob): void {
    if (this.#failures >= MOST_FAILURES) return this.#giveUp();
    try {
      this.#start().postMessage({ id, file } satisfies Question);
    } catch {
      this.#failed(); // the browser has no workers
    }
  }

  #start(): Worker {
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      this.#waiting.get(data.id)?.resolve(data.sha256);
      this.#waiting.delete(data.id);
    });
    worker.addEventListener("error", () => this.#failed());
    return (this.#worker = worker);
  }

  // A worker that failed answers no more: another one gets its files.
  #failed(): void {
    this.#failures += 1;
    this.#end();
    for (const [id, { file }] of [...this.#waiting]) this.#ask(id, file);
  }

  #end(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #giveUp(): void {
    for (const { resolve } of this.#waiting.values()) resolve(undefined);
    this.#waiting.clear();
  }
}
