/** The browser and the system in a `User-Agent`, as a list of logins shows them. */

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/Edg\w*\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/Chrom\w+\/|CriOS\//, "Chrome"],
  [/Version\/.*Safari\//, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Mac OS X/, "macOS"],
  [/Windows/, "Windows"],
  [/CrOS/, "ChromeOS"],
  [/Linux/, "Linux"],
];

/** Returns null for a program that is no browser, such as an app with a name of its own. */
export function browserOf(userAgent: string): { browser: string; system: string } | null {
  const named = (table: typeof BROWSERS): string | undefined => table.find(([form]) => form.test(userAgent))?.[1];
  const browser = named(BROWSERS);
  const system = named(SYSTEMS);
  return browser && system ? { browser, system } : null;
}
