import type { Like } from "../index";
import type english from "../en/link";

export default {
  link: "Enlace",
  whoHasLink: "Todas las personas con este enlace pueden ver la galería.",
  whoHasLinkAndPassword: "Todas las personas con este enlace y la contraseña pueden ver la galería.",
  private: "Esta galería es privada: no tiene enlace y solo tú puedes verla.",
  copy: "Copiar",
  copied: "Copiado",
  copyYourself: "El texto está seleccionado: cópialo tú.",
  openGallery: "Abrir la galería",
  shareSheet: "Compartir…",
  qrCode: "Código QR del enlace",
  saveQr: "Guardar el código QR",
  code: "Código:",
  manageLink: "Enlace de gestión",
  manageHint: "Sin este enlace ya no se podrá cambiar ni borrar la galería. Guárdalo y no lo compartas.",
  saveFile: "Guardar como archivo de texto",
  rememberHere: "Recordarlo en este navegador",
  notRemembered: "Este navegador no guarda nada. Copia el enlace o guárdalo como archivo.",
} satisfies Like<typeof english>;
