/** Messages and languages, without a page. */

const LANGUAGES = ["en", "de", "es", "fr", "ja", "ar"] as const;

export type Language = (typeof LANGUAGES)[number];
/** A message is a text with `{name}` places, or one text for each plural form of `{n}` (CLDR). */
export type Message = string | Partial<Record<Intl.LDMLPluralRule, string>>;
export type Catalogue = Readonly<Record<string, Message>>;
/** A catalogue of another language: every key of the English one. */
export type Like<C extends Catalogue> = Readonly<Record<keyof C, Message>>;
export type Translate<C extends Catalogue> = (
  key: keyof C & string,
  values?: Readonly<Record<string, string | number>>,
) => string;

/** Returns the first language that has a catalogue; English if none has. */
export function preferred(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const found = LANGUAGES.find((known) => known === tag.toLowerCase().split("-")[0]);
    if (found) return found;
  }
  return "en";
}

/** Returns the function that fills the messages of a catalogue. */
export function translate<C extends Catalogue>(catalogue: C, tongue: Language): Translate<C> {
  const plural = new Intl.PluralRules(tongue);
  const number = new Intl.NumberFormat(tongue);
  return (key, values = {}) => {
    const message: Message = catalogue[key] ?? key;
    const text =
      typeof message === "string" ? message : (message[plural.select(Number(values["n"]))] ?? message.other ?? key);
    return text.replaceAll(/\{(\w+)\}/g, (place: string, name: string) => {
      const value = values[name];
      return value === undefined ? place : typeof value === "number" ? number.format(value) : value;
    });
  };
}
