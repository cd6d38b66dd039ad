import { load } from "./index";
import type english from "./en/home";

export const t = await load<typeof english>("home", import.meta.glob("./*/home.ts", { import: "default" }));
