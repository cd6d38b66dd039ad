import type { Like } from "../index";
import type english from "../en/home";

export default {
  title: "Kappi : photos et films par un lien court",
  toContent: "Aller au contenu",
  reference: "Référence de l’API",
  openByCode: "Ouvrir une galerie",
  code: "Code d’une galerie",
  codeHint: "Un code n’a que des lettres et des chiffres. C’est la fin du lien d’une galerie.",
  open: "Ouvrir",
  navigation: "Compte",
  myGalleries: "Mes galeries",
  signIn: "Se connecter",
} satisfies Like<typeof english>;
