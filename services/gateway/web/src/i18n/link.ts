import { load } from "./index";
import type english from "./en/link";

export const t = await load<typeof english>("link", import.meta.glob("./*/link.ts", { import: "default" }));
