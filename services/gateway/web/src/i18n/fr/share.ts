import type { Like } from "../index";
import type english from "../en/share";

export default {
  heading: "Partagez des photos et des films par un lien",
  lead: "Dans la qualité d’origine. Personne n’a besoin d’un compte, ni vous ni ceux qui reçoivent le lien.",
  title: "Titre",
  titleHint: "Facultatif",
  expiry: "La galerie se termine après",
  password: "Mot de passe pour la voir",
  passwordHint: "Facultatif. Il est demandé en plus du lien.",
  getLink: "Obtenir un lien",
  gettingLink: "Un instant …",
  rulesAnonymous: "Sans compte, une galerie est supprimée après 30 jours au plus. La clé pour la gérer est montrée une seule fois, avec le lien.",
  rulesAccount: "La galerie appartient à votre compte et n’a pas de fin.",
  rulesFiles: "JPEG, PNG, GIF, WebP, HEIC, AVIF, TIFF, BMP, RAW d’appareil photo, MP4, MOV, WebM, MKV, 3GP, AVI, MPEG-TS et WMV. Les originaux restent tels quels, avec ce que l’appareil y a écrit.",
  resumeHeading: "Pas encore terminé",
  resume: { one: "{title} : {n} fichier n’est pas envoyé.", other: "{title} : {n} fichiers ne sont pas envoyés." },
  untitled: "Galerie sans titre",
  goOn: "Continuer",
  discard: "Abandonner",
  shared: "Votre galerie a un lien",
  sharedHint: "Il fonctionne déjà. Ce que vous ajoutez y apparaît dès que c’est envoyé.",
} satisfies Like<typeof english>;
