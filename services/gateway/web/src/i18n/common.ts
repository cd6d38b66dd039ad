import { load } from "./index";
import type english from "./en/common";

export const t = await load<typeof english>("common", import.meta.glob("./*/common.ts", { import: "default" }));
