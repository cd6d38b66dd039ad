import { isSame } from "./choosing";
import type { KeptFile } from "./database";

/** Opens a kept file again. Returns undefined if the person must choose it again, or it was changed since. */
export async function reopened(record: KeptFile): Promise<File | undefined> {
  const handle = record.handle as Askable | undefined;
  try {
    if ((await handle?.requestPermission({ mode: "read" })) !== "granted") return undefined;
    const file = await handle?.getFile();
    return file && isSame(file, record) ? file : undefined;
  } catch {
    return undefined; // moved or deleted
  }
}

interface Askable extends FileSystemFileHandle {
  requestPermission(options: { mode: "read" }): Promise<PermissionState>;
}
