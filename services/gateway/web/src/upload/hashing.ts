import type { Answer, Question } from "./hash.worker";

/** Computes digests of files in a worker, so that the page stays responsive. */
export class Hashing {
  #worker: Worker | undefined;
  #numbers = 0;
  readonly #waiting = new Map<number, (sha256: string | undefined) => void>();

  /** Returns the SHA-256 in hexadecimal; undefined if the file cannot be read, or the browser has no workers. */
  digest(file: Blob): Promise<string | undefined> {
    return new Promise((resolve) => {
      const id = (this.#numbers += 1);
      this.#waiting.set(id, resolve);
      this.#start().postMessage({ id, file } satisfies Question);
    });
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#giveUp();
  }

  #start(): Worker {
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      this.#waiting.get(data.id)?.(data.sha256);
      this.#waiting.delete(data.id);
    });
    worker.addEventListener("error", () => this.#giveUp());
    return (this.#worker = worker);
  }

  #giveUp(): void {
    for (const resolve of this.#waiting.values()) resolve(undefined);
    this.#waiting.clear();
  }
}
