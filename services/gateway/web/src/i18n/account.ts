import { load } from "./index";
import type english from "./en/account";

export const t = await load<typeof english>("account", import.meta.glob("./*/account.ts", { import: "default" }));
