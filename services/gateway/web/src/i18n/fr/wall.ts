import type { Like } from "../index";
import type english from "../en/wall";

export default {
  title: "Galerie partagée",
  slideShow: "Diaporama",
  waiting: "La première photo apparaîtra ici toute seule.",
  qr: "Code QR du lien vers cette galerie",
  pause: "Pause",
  goOn: "Continuer",
  fullScreen: "Plein écran",
  leave: "Quitter le diaporama",
} satisfies Like<typeof english>;
