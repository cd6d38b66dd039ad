import { address, asProblem, headersOf, type Item, Problem, request } from "../api";
import type { Collection } from "../gallery/collection.svelte";
import { freeName, wayOf, type Way } from "./way";

/** Browsers drop downloads that start at the same time. */
const PAUSE_MS = 900;

interface Pickers {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
  showDirectoryPicker?: (options: { id: string; mode: "readwrite" }) => Promise<FileSystemDirectoryHandle>;
}
const pickers = window as Pickers;

export interface Progress {
  way: Way;
  files: number;
  done: number;
  bytes: number;
  totalBytes: number;
}

/** Follows an address as a click on a link does. */
function go(url: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = "";
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}

/** Downloads items of a gallery, one job at a time. */
export class Downloads {
  /** The job that runs. */
  progress = $state.raw<Progress>();
  /** The job that ended last. */
  ended = $state.raw<Progress>();
  failure = $state.raw<Problem>();
  #stop = new AbortController();

  constructor(private readonly collection: Collection) {}

  /** Downloads one file. Throws Problem. */
  async one(id: string): Promise<void> {
    go(await this.#urlOf(id));
  }

  /** Whether the archive cannot be fetched by a link. */
  get needsHeaders(): boolean {
    const { password, contributorKey } = this.collection.access;
    return password !== undefined || contributorKey !== undefined;
  }

  /** Downloads several items. allFiles: the number of all items of the gallery, if all are wanted. */
  async many(items: readonly Item[], allFiles?: number): Promise<void> {
    if (this.progress || items.length === 0) return;
    this.#stop = new AbortController();
    this.ended = this.failure = undefined;
    const way = wayOf({
      items,
      isAll: allFiles !== undefined,
      isProtected: this.needsHeaders,
      canSaveFile: pickers.showSaveFilePicker !== undefined,
      canOpenFolder: pickers.showDirectoryPicker !== undefined,
    });
    const totalBytes = items.reduce((sum, item) => sum + item.size, 0);
    const begin = (): void => {
      this.progress = { way, files: allFiles ?? items.length, done: 0, bytes: 0, totalBytes };
    };
    try {
      if (way === "archive") await this.#archive(begin);
      if (way === "file") await this.#file(begin);
      if (way === "folder") await this.#folder(items, begin);
      if (way === "links") await this.#links(items, begin);
      this.ended = this.progress;
    } catch (failure) {
      const isCancelled = this.#stop.signal.aborted || (failure as DOMException).name === "AbortError";
      if (!isCancelled) this.failure = asProblem(failure);
    } finally {
      this.progress = undefined;
    }
  }

  cancel(): void {
    this.#stop.abort();
  }

  get #archiveAddress(): string {
    return address(`v1/g/${encodeURIComponent(this.collection.code)}/archive`);
  }

  async #urlOf(id: string, signal?: AbortSignal): Promise<string> {
    const options = { access: this.collection.access, signal };
    const { url } = await request<{ url: string }>("GET", `v1/media/${encodeURIComponent(id)}/download`, options);
    return new URL(url, document.baseURI).href;
  }

  async #archive(begin: () => void): Promise<void> {
    begin();
    // A refusal of the link itself would leave the viewer on a page of JSON.
    await this.#get(this.#archiveAddress, { method: "HEAD" });
    go(this.#archiveAddress);
  }

  async #file(begin: () => void): Promise<void> {
    const title = this.collection.gallery?.title || this.collection.code;
    const file = await pickers.showSaveFilePicker?.({ suggestedName: freeName(`${title}.zip`, new Set()) });
    if (!file) return;
    begin();
    const answer = await this.#get(this.#archiveAddress, { headers: headersOf(this.collection.access) });
    const length = Number(answer.headers.get("Content-Length"));
    if (length && this.progress) this.progress = { ...this.progress, totalBytes: length };
    await this.#save(answer, file);
  }

  async #folder(items: readonly Item[], begin: () => void): Promise<void> {
    const folder = await pickers.showDirectoryPicker?.({ id: "kappi", mode: "readwrite" });
    if (!folder) return;
    begin();
    const taken = new Set<string>();
    for await (const name of folder.keys()) taken.add(name.toLowerCase());
    for (const item of items) {
      const answer = await this.#get(await this.#urlOf(item.id, this.#stop.signal), {});
      const file = await folder.getFileHandle(freeName(item.filename, taken), { create: true });
      await this.#save(answer, file);
      this.#advance({ done: 1 });
    }
  }

  async #links(items: readonly Item[], begin: () => void): Promise<void> {
    begin();
    for (const item of items) {
      go(await this.#urlOf(item.id, this.#stop.signal));
      this.#advance({ done: 1, bytes: item.size });
      if (item !== items.at(-1)) await this.#pause();
    }
  }

  /** Copies a body piece by piece; the disk sets the pace. */
  async #save(answer: Response, file: FileSystemFileHandle): Promise<void> {
    const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (piece, controller) => {
        this.#advance({ bytes: piece.byteLength });
        controller.enqueue(piece);
      },
    });
    const target = await file.createWritable();
    await answer.body?.pipeThrough(counted).pipeTo(target, { signal: this.#stop.signal });
  }

  async #get(url: string, init: RequestInit): Promise<Response> {
    const answer = await fetch(url, { ...init, credentials: "omit", signal: this.#stop.signal });
    if (!answer.ok) throw await Problem.of(answer);
    return answer;
  }

  #advance({ done = 0, bytes = 0 }): void {
    const now = this.progress;
    if (now) this.progress = { ...now, done: now.done + done, bytes: now.bytes + bytes };
  }

  #pause(): Promise<void> {
    const { signal } = this.#stop;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        reject(new DOMException("cancelled", "AbortError"));
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", stop);
        resolve();
      }, PAUSE_MS);
      signal.addEventListener("abort", stop, { once: true });
    });
  }
}
