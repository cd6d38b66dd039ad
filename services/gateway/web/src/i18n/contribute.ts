import { load } from "./index";
import type english from "./en/contribute";

export const t = await load<typeof english>("contribute", import.meta.glob("./*/contribute.ts", { import: "default" }));
