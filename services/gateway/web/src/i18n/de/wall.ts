import type { Like } from "../index";
import type english from "../en/wall";

export default {
  title: "Geteilte Galerie",
  slideShow: "Diashow",
  waiting: "Das erste Foto erscheint hier von selbst.",
  qr: "QR-Code des Links zu dieser Galerie",
  pause: "Pause",
  goOn: "Weiter",
  fullScreen: "Vollbild",
  leave: "Diashow verlassen",
} satisfies Like<typeof english>;
