import { load } from "./index";
import type english from "./en/share";

export const t = await load<typeof english>("share", import.meta.glob("./*/share.ts", { import: "default" }));
