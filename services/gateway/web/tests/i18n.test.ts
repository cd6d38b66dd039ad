import { expect, test } from "vitest";
import { preferred, translate } from "../src/i18n/translate";

test("a message takes the plural form of the language", () => {
  const t = translate({ items: { one: "{n} item", other: "{n} items" } }, "en");
  expect([t("items", { n: 1 }), t("items", { n: 1200 })]).toEqual(["1 item", "1,200 items"]);
});

test.each([
  [["de-AT", "en"], "de"],
  [["nl", "fr-CA"], "fr"],
  [["nl"], "en"],
])("%s reads %s", (wanted, language) => {
  expect(preferred(wanted)).toBe(language);
});
