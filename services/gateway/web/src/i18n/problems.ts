import { load } from "./index";
import type english from "./en/problems";

export const t = await load<typeof english>("problems", import.meta.glob("./*/problems.ts", { import: "default" }));
