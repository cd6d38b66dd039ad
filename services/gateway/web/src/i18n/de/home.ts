import type { Like } from "../index";
import type english from "../en/home";

export default {
  title: "Kappi: Fotos und Filme über einen kurzen Link",
  toContent: "Zum Inhalt",
  reference: "API-Referenz",
  openByCode: "Galerie öffnen",
  code: "Code einer Galerie",
  codeHint: "Ein Code hat nur Buchstaben und Ziffern. Er ist das Ende des Links einer Galerie.",
  open: "Öffnen",
  navigation: "Konto",
  myGalleries: "Meine Galerien",
  signIn: "Anmelden",
} satisfies Like<typeof english>;
