import type { Like } from "../index";
import type english from "../en/share";

export default {
  heading: "Comparte fotos y vídeos con un enlace",
  lead: "Con la calidad con la que se hicieron. Nadie necesita una cuenta, ni tú ni quienes reciben el enlace.",
  title: "Título",
  titleHint: "Opcional",
  expiry: "La galería termina después de",
  password: "Contraseña para quienes miran",
  passwordHint: "Opcional. La necesitan además del enlace.",
  getLink: "Obtener un enlace",
  gettingLink: "Un momento …",
  rulesAnonymous: "Sin cuenta, una galería se borra como máximo a los 30 días. La clave para gestionarla se muestra una sola vez, junto al enlace.",
  rulesAccount: "La galería pertenece a tu cuenta y no termina.",
  rulesFiles: "JPEG, PNG, GIF, WebP, HEIC, AVIF, TIFF, BMP, RAW de cámara, MP4, MOV, WebM, MKV, 3GP, AVI, MPEG-TS y WMV. Los originales quedan como están, con lo que la cámara escribió en ellos.",
  resumeHeading: "Sin terminar",
  resume: { one: "{title}: {n} archivo no se ha enviado.", other: "{title}: {n} archivos no se han enviado." },
  untitled: "Galería sin título",
  goOn: "Continuar",
  discard: "Descartar",
  shared: "Tu galería tiene un enlace",
  sharedHint: "Ya funciona. Lo que añadas aparece allí en cuanto se envía.",
} satisfies Like<typeof english>;
