import type { Like } from "../index";
import type english from "../en/wall";

export default {
  title: "Galería compartida",
  slideShow: "Presentación",
  waiting: "La primera foto aparecerá aquí por sí sola.",
  qr: "Código QR del enlace a esta galería",
  pause: "Pausa",
  goOn: "Continuar",
  fullScreen: "Pantalla completa",
  leave: "Salir de la presentación",
} satisfies Like<typeof english>;
