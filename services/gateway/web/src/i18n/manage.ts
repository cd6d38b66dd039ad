import { load } from "./index";
import type english from "./en/manage";

export const t = await load<typeof english>("manage", import.meta.glob("./*/manage.ts", { import: "default" }));
