/** The words of the pages: one catalogue per language and area, loaded when the area is. */

import { type Catalogue, type Language, preferred, translate, type Translate } from "./translate";

export type { Catalogue, Like } from "./translate";

const RIGHT_TO_LEFT: readonly string[] = ["ar"];

/** The language of the page: the first of the browser's that has a catalogue. */
export const language: Language = preferred(navigator.languages);

/** Names the language and its direction to the browser and to screen readers. */
export function announceLanguage(): void {
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.includes(language) ? "rtl" : "ltr";
}

/**
 * Loads the catalogue of an area in the page's language.
 *
 * loaders: of `import.meta.glob("./{language}/area.ts", { import: "default" })`.
 */
export async function load<C extends Catalogue>(
  area: string,
  loaders: Readonly<Record<string, () => Promise<unknown>>>,
): Promise<Translate<C>> {
  const loader = loaders[`./${language}/${area}.ts`];
  if (!loader) throw new Error(`no messages: ${language}/${area}`);
  return translate((await loader()) as C, language);
}
