import type { Like } from "../index";
import type english from "../en/share";

export default {
  heading: "Fotos und Filme per Link teilen",
  lead: "In der Qualität, in der sie aufgenommen wurden. Niemand braucht ein Konto, weder Sie noch die, die den Link bekommen.",
  title: "Titel",
  titleHint: "Freiwillig",
  expiry: "Die Galerie endet nach",
  password: "Passwort für Betrachter",
  passwordHint: "Freiwillig. Betrachter brauchen es zusätzlich zum Link.",
  getLink: "Link erhalten",
  gettingLink: "Einen Moment …",
  rulesAnonymous: "Ohne Konto wird eine Galerie nach höchstens 30 Tagen gelöscht. Der Schlüssel zum Verwalten wird einmal gezeigt, zusammen mit dem Link.",
  rulesAccount: "Die Galerie gehört zu Ihrem Konto und hat kein Ende.",
  rulesFiles: "JPEG, PNG, GIF, WebP, HEIC, AVIF, TIFF, BMP, Kamera-RAW, MP4, MOV, WebM, MKV, 3GP, AVI, MPEG-TS und WMV. Originale bleiben, wie sie sind, mit allem, was die Kamera hineingeschrieben hat.",
  resumeHeading: "Noch nicht fertig",
  resume: { one: "{title}: {n} Datei ist nicht gesendet.", other: "{title}: {n} Dateien sind nicht gesendet." },
  untitled: "Galerie ohne Titel",
  goOn: "Fortsetzen",
  discard: "Verwerfen",
  shared: "Ihre Galerie hat einen Link",
  sharedHint: "Er funktioniert schon. Was Sie hinzufügen, erscheint dort, sobald es gesendet ist.",
} satisfies Like<typeof english>;
