import type { Like } from "../index";
import type english from "../en/link";

export default {
  link: "Link",
  whoHasLink: "Alle mit diesem Link können die Galerie sehen.",
  whoHasLinkAndPassword: "Alle mit diesem Link und dem Passwort können die Galerie sehen.",
  private: "Diese Galerie ist privat: Sie hat keinen Link, und nur Sie können sie sehen.",
  copy: "Kopieren",
  copied: "Kopiert",
  copyYourself: "Der Text ist markiert: Bitte kopieren Sie ihn selbst.",
  openGallery: "Galerie öffnen",
  shareSheet: "Teilen …",
  qrCode: "QR-Code des Links",
  saveQr: "QR-Code speichern",
  code: "Code:",
  manageLink: "Verwaltungslink",
  manageHint: "Ohne diesen Link lässt sich die Galerie nicht mehr ändern oder löschen. Bewahren Sie ihn auf und geben Sie ihn nicht weiter.",
  saveFile: "Als Textdatei speichern",
  rememberHere: "In diesem Browser merken",
  notRemembered: "Dieser Browser bewahrt nichts auf. Kopieren Sie den Link oder speichern Sie ihn als Datei.",
} satisfies Like<typeof english>;
