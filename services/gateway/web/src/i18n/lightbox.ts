import { load } from "./index";
import type english from "./en/lightbox";

export const t = await load<typeof english>("lightbox", import.meta.glob("./*/lightbox.ts", { import: "default" }));
