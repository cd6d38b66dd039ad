import type { Like } from "../index";
import type english from "../en/lightbox";

export default {
  viewer: "Fotos und Filme, einzeln",
  zoom: "Vergrößern",
  previous: "Vorheriges",
  next: "Nächstes",
  position: "{n} von {total}: {name}",
  details: "Details",
  download: "Herunterladen",
  share: "Teilen",
  linkCopied: "Der Link ist kopiert.",
  taken: "Aufgenommen",
  camera: "Kamera",
  dimensions: "Abmessungen",
  length: "Länge",
  file: "Datei",
  size: "Größe",
  place: "Ort",
  tags: "Schlagwörter",
  addedBy: "Hinzugefügt von",
  guest: "einem Gast",
  gone: "Dieses Foto oder dieser Film wurde entfernt.",
  processing: "Das wird noch vorbereitet. Es erscheint hier von selbst.",
  notShown: "Ihr Browser kann diese Datei nicht zeigen. Laden Sie sie herunter, um sie zu sehen.",
  filmNotPlayed: "Ihr Browser kann diesen Film nicht abspielen. Laden Sie ihn herunter, um ihn zu sehen.",
  filmWithheld: "Die Filme dieser Galerie können hier nicht abgespielt werden.",
} satisfies Like<typeof english>;
