/** Asks for the gallery as soon as the script runs, while the words of the page are still being loaded. */

import { Problem } from "../api";
import { Collection } from "./collection.svelte";
import { codeOf } from "./place";

const code = codeOf(location.pathname);

export const collection = new Collection(code ?? "");

if (code === undefined) collection.close(new Problem(404, "gallery_not_found"));
else void collection.open();
