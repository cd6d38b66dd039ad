import { load } from "./index";
import type english from "./en/gallery";

export const t = await load<typeof english>("gallery", import.meta.glob("./*/gallery.ts", { import: "default" }));
