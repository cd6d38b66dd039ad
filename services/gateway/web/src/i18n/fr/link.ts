import type { Like } from "../index";
import type english from "../en/link";

export default {
  link: "Lien",
  whoHasLink: "Toute personne qui a ce lien peut voir la galerie.",
  whoHasLinkAndPassword: "Toute personne qui a ce lien et le mot de passe peut voir la galerie.",
  private: "Cette galerie est privée : elle n’a pas de lien et vous seul pouvez la voir.",
  copy: "Copier",
  copied: "Copié",
  copyYourself: "Le texte est sélectionné : copiez-le vous-même.",
  openGallery: "Ouvrir la galerie",
  shareSheet: "Partager…",
  qrCode: "Code QR du lien",
  saveQr: "Enregistrer le code QR",
  code: "Code :",
  manageLink: "Lien de gestion",
  manageHint: "Sans ce lien, la galerie ne peut plus être modifiée ni supprimée. Gardez-le et ne le partagez pas.",
  saveFile: "Enregistrer en fichier texte",
  rememberHere: "Le mémoriser dans ce navigateur",
  notRemembered: "Ce navigateur ne garde rien. Copiez le lien ou enregistrez-le dans un fichier.",
} satisfies Like<typeof english>;
