import type { Catalogue } from "../index";

export default {
  title: "Kappi: photos and films by a short link",
  toContent: "To the content",
  reference: "API reference",
  openByCode: "Open a gallery",
  code: "Code of a gallery",
  codeHint: "A code has letters and digits only. It is the end of a gallery’s link.",
  open: "Open",
  navigation: "Account",
  myGalleries: "My galleries",
  signIn: "Log in",
} as const satisfies Catalogue;
