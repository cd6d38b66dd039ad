import type { Like } from "../index";
import type english from "../en/lightbox";

export default {
  viewer: "Photos et vidéos, une à la fois",
  zoom: "Zoom",
  previous: "Précédent",
  next: "Suivant",
  position: "{n} sur {total} : {name}",
  details: "Détails",
  download: "Télécharger",
  share: "Partager",
  linkCopied: "Le lien est copié.",
  taken: "Prise le",
  camera: "Appareil",
  dimensions: "Dimensions",
  length: "Durée",
  file: "Fichier",
  size: "Taille",
  place: "Lieu",
  tags: "Mots-clés",
  addedBy: "Ajouté par",
  guest: "un invité",
  gone: "Cette photo ou vidéo a été retirée.",
  processing: "C’est encore en préparation. Cela apparaîtra ici tout seul.",
  notShown: "Votre navigateur ne peut pas afficher ce fichier. Téléchargez-le pour le voir.",
  filmNotPlayed: "Votre navigateur ne peut pas lire cette vidéo. Téléchargez-la pour la voir.",
  filmWithheld: "Les vidéos de cette galerie ne peuvent pas être lues ici.",
} satisfies Like<typeof english>;
