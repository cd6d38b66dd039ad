/**
 * What a browser keeps of unfinished uploads, in IndexedDB, so that they go on after a reload or a crash.
 *
 * A browser without it, or in a private window, keeps nothing: then nothing is offered after a reload.
 */

import type { Gallery } from "../api";

/** How a file is sent, as the API decided when it was signed. */
export interface Plan {
  id: string;
  mediaId: string;
  method: "single" | "multipart";
  /** Bytes of a part; 0 for `single`. */
  partSize: number;
}

/** A file that is not sent yet. */
export interface KeptFile {
  key: string;
  galleryId: string;
  name: string;
  size: number;
  /** The content type that is declared. */
  type: string;
  lastModified: number;
  keptAt: number;
  /** The key of the picture that it is the sidecar of. */
  of?: string;
  sha256?: string;
  plan?: Plan;
  /** ETags of the parts that the store acknowledged to this browser. */
  etags: Record<number, string>;
  /** Opens the file again after the person allowed it. Only some browsers have these, for some ways to choose. */
  handle?: FileSystemFileHandle;
  /** A copy of a small file that has no handle. */
  copy?: Blob;
}

/** A share of the home page, with what is needed to go on with it. */
export interface KeptShare {
  galleryId: string;
  gallery: Gallery;
  /** Of an anonymous gallery. */
  accessKey?: string;
  keptAt: number;
}

/** Uploads in parts end after a week on the server. */
const LONGEST_MS = 7 * 24 * 3600 * 1000;
/** Copies of files that cannot be opened again, each and together: a copy costs its size on the person's disk. */
const COPY_BYTES = 16 << 20;
const COPIES_BYTES = 256 << 20;

type Name = "shares" | "files";

const copies = new Map<string, number>();
let opening: Promise<IDBDatabase> | undefined;

/** Keeps a share, so that the home page can offer to go on with it. */
export function keepShare(share: KeptShare): Promise<unknown> {
  return transact("shares", "readwrite", (shares) => shares.put(share));
}

/** Replaces the access key that is kept with a share, if the share is kept. */
export function changeShareKey(galleryId: string, accessKey: string): Promise<unknown> {
  return transact("shares", "readwrite", (shares) => {
    const found: IDBRequest<KeptShare | undefined> = shares.get(galleryId);
    found.onsuccess = () => {
      if (found.result) shares.put({ ...found.result, accessKey });
    };
  });
}

/** Returns the shares that have unfinished files, the newest first, and forgets the others. now: milliseconds. */
export async function unfinishedShares(now: number): Promise<{ share: KeptShare; files: KeptFile[] }[]> {
  await forgetOld(now);
  const shares = (await transact<KeptShare[]>("shares", "readonly", (store) => store.getAll())) ?? [];
  const found = [];
  for (const share of shares.sort((a, b) => b.keptAt - a.keptAt)) {
    const files = await filesOf(share.galleryId);
    if (files.length > 0 && !isOver(share, now)) found.push({ share, files });
    else await forgetShare(share.galleryId);
  }
  return found;
}

/** Forgets a share, and with it its access key, if it has no unfinished files. */
export async function forgetFinished(galleryId: string): Promise<void> {
  if ((await filesOf(galleryId)).length === 0) await forgetShare(galleryId);
}

/** Forgets a share and its files. */
export async function forgetShare(galleryId: string): Promise<void> {
  await forgetFiles((await filesOf(galleryId)).map(({ key }) => key));
  await transact("shares", "readwrite", (shares) => shares.delete(galleryId));
}

export async function filesOf(galleryId: string): Promise<KeptFile[]> {
  return (await transact<KeptFile[]>("files", "readonly", (files) => files.index("galleryId").getAll(galleryId))) ?? [];
}

/** Returns the files that count as such: a sidecar counts with its picture, if that is not sent yet. */
export function withoutSidecars(files: readonly KeptFile[]): KeptFile[] {
  const keys = new Set(files.map(({ key }) => key));
  return files.filter(({ of }) => of === undefined || !keys.has(of));
}

/** Keeps new files. Small ones that have no handle are copied afterwards, as far as there is room. */
export async function keepFiles(kept: readonly { record: KeptFile; file: File }[]): Promise<void> {
  await transact("files", "readwrite", (files) => {
    for (const { record } of kept) files.put(record);
  });
  for (const { record, file } of kept) {
    const used = [...copies.values()].reduce((sum, size) => sum + size, 0);
    if (record.handle || file.size > COPY_BYTES || used + file.size > COPIES_BYTES) continue;
    copies.set(record.key, file.size);
    await change(record.key, { copy: file }); // one by one, so that other changes come between
  }
}

/** Saves what changed of a file. */
export function updateFile({ key, ...record }: KeptFile): Promise<unknown> {
  return change(key, { ...record, etags: { ...record.etags } });
}

export function forgetFiles(keys: readonly string[]): Promise<unknown> {
  for (const key of keys) copies.delete(key);
  return transact("files", "readwrite", (files) => {
    for (const key of keys) files.delete(key);
  });
}

function change(key: string, values: Partial<KeptFile>): Promise<unknown> {
  return transact("files", "readwrite", (files) => {
    const found: IDBRequest<KeptFile | undefined> = files.get(key);
    found.onsuccess = () => {
      if (found.result) files.put({ ...found.result, ...values });
    };
  });
}

function forgetOld(now: number): Promise<unknown> {
  return transact("files", "readwrite", (files) => {
    const old = files.index("keptAt").openKeyCursor(IDBKeyRange.upperBound(now - LONGEST_MS));
    old.onsuccess = () => {
      if (!old.result) return;
      files.delete(old.result.primaryKey);
      old.result.continue();
    };
  });
}

function isOver({ gallery, keptAt }: KeptShare, now: number): boolean {
  return now - keptAt > LONGEST_MS || (gallery.expires_at !== null && Date.parse(gallery.expires_at) < now);
}

/** Runs one transaction. Returns the result of the request; undefined if the browser does not keep anything. */
async function transact<T>(
  name: Name,
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T> | void,
): Promise<T | undefined> {
  try {
    const transaction = (await open()).transaction(name, mode);
    const request = act(transaction.objectStore(name));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
    return request?.result;
  } catch {
    return undefined; // keeping is a convenience: the upload itself goes on
  }
}

function open(): Promise<IDBDatabase> {
  return (opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("kappi-uploads", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("shares", { keyPath: "galleryId" });
      const files = request.result.createObjectStore("files", { keyPath: "key" });
      files.createIndex("galleryId", "galleryId");
      files.createIndex("keptAt", "keptAt");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  }));
}
