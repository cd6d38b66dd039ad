import type { Like } from "../index";
import type english from "../en/home";

export default {
  title: "Kappi: fotos y vídeos con un enlace corto",
  toContent: "Al contenido",
  reference: "Referencia de la API",
  openByCode: "Abrir una galería",
  code: "Código de una galería",
  codeHint: "Un código solo tiene letras y cifras. Es el final del enlace de una galería.",
  open: "Abrir",
  navigation: "Cuenta",
  myGalleries: "Mis galerías",
  signIn: "Iniciar sesión",
} satisfies Like<typeof english>;
