/** Files that a person chooses, drops or pastes. */

export interface Chosen {
  /** Empty if the browser could not read what was chosen. */
  file: File;
  handle?: FileSystemFileHandle;
  isUnreadable?: boolean;
}

/** What tells one file from another without reading it. */
export interface Likeness {
  name: string;
  size: number;
  lastModified: number;
}

type Picker = (options: { multiple: boolean }) => Promise<FileSystemFileHandle[]>;
type Item = DataTransferItem & { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> };
type Folder = FileSystemDirectoryHandle & { values(): AsyncIterable<FileSystemHandle> };

/** Opens the browser's picker whose files can be opened again after a reload. undefined: there is none. */
export async function pick(): Promise<Chosen[] | undefined> {
  const picker = (globalThis as { showOpenFilePicker?: Picker }).showOpenFilePicker;
  if (!picker) return undefined;
  try {
    const handles = await picker({ multiple: true });
    return (await Promise.all(handles.map(fromHandle))).flat();
  } catch (failure) {
    if (failure instanceof DOMException && failure.name === "AbortError") return []; // closed without a choice
    return undefined;
  }
}

/** Returns the files of an `input`. */
export function fromInput(input: HTMLInputElement): Chosen[] {
  const chosen = [...(input.files ?? [])].map((file) => ({ file }));
  input.value = ""; // the same files can be chosen once more
  return chosen.filter(({ file }) => isWanted(file.name));
}

/** Returns the files of a drop or a paste, those in folders too; what cannot be read is named. It must be called within the event. */
export async function fromTransfer(transfer: DataTransfer): Promise<Chosen[]> {
  // The items are gone after the event, so all are asked before the first answer.
  const found = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item: Item) => {
      const file = item.getAsFile();
      const entry = item.webkitGetAsEntry();
      return { file, entry, handle: item.getAsFileSystemHandle?.().catch(() => null) };
    });
  const chosen = await Promise.all(
    found.map(async ({ file, entry, handle }) => {
      const opened = await handle;
      if (opened) return fromHandle(opened);
      if (entry?.isDirectory) return fromEntry(entry);
      return file ? [{ file }] : [];
    }),
  );
  return chosen.flat().filter(({ file }) => isWanted(file.name));
}

/** Tells whether two descriptions are of the same file, as far as that is known without reading it. */
export function isSame(one: Likeness, other: Likeness): boolean {
  return one.name === other.name && one.size === other.size && one.lastModified === other.lastModified;
}

/** Pairs files that are needed again with files that were chosen again. Returns the pairs and the others. */
export function matched<L extends Likeness, C extends { file: Likeness }>(
  needed: readonly L[],
  chosen: readonly C[],
): { pairs: [L, C][]; others: C[] } {
  const open = new Set(needed);
  const pairs: [L, C][] = [];
  const others: C[] = [];
  for (const one of chosen) {
    const same = [...open].find((likeness) => isSame(likeness, one.file));
    if (same) {
      open.delete(same);
      pairs.push([same, one]);
    } else others.push(one);
  }
  return { pairs, others };
}

async function fromHandle(handle: FileSystemHandle): Promise<Chosen[]> {
  const chosen: Chosen[] = [];
  try {
    if (handle.kind === "file") {
      const opened = handle as FileSystemFileHandle;
      return [{ file: await opened.getFile(), handle: opened }];
    }
    for await (const inner of (handle as Folder).values()) {
      if (isWanted(inner.name)) chosen.push(...(await fromHandle(inner)));
    }
    return chosen;
  } catch {
    return [...chosen, unreadable(handle.name)];
  }
}

// The way of browsers without handles.
async function fromEntry(entry: FileSystemEntry): Promise<Chosen[]> {
  const chosen: Chosen[] = [];
  try {
    if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      return [{ file }];
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      // A reader gives some entries at a time, and none at the end.
      const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return chosen;
      for (const inner of some) if (isWanted(inner.name)) chosen.push(...(await fromEntry(inner)));
    }
  } catch {
    return [...chosen, unreadable(entry.name)];
  }
}

function unreadable(name: string): Chosen {
  return { file: new File([], name, { lastModified: 0 }), isUnreadable: true };
}

// Hidden files, such as .DS_Store, and what Windows puts into folders of pictures.
function isWanted(name: string): boolean {
  return !name.startsWith(".") && !/^(thumbs\.db|desktop\.ini)$/i.test(name);
}
