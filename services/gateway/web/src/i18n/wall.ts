import { load } from "./index";
import type english from "./en/wall";

export const t = await load<typeof english>("wall", import.meta.glob("./*/wall.ts", { import: "default" }));
