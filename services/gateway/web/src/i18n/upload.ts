import { load } from "./index";
import type english from "./en/upload";

export const t = await load<typeof english>("upload", import.meta.glob("./*/upload.ts", { import: "default" }));
