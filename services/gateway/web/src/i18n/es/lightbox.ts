import type { Like } from "../index";
import type english from "../en/lightbox";

export default {
  viewer: "Fotos y vídeos, de uno en uno",
  zoom: "Ampliar",
  previous: "Anterior",
  next: "Siguiente",
  position: "{n} de {total}: {name}",
  details: "Detalles",
  download: "Descargar",
  share: "Compartir",
  linkCopied: "El enlace está copiado.",
  taken: "Tomada",
  camera: "Cámara",
  dimensions: "Dimensiones",
  length: "Duración",
  file: "Archivo",
  size: "Tamaño",
  place: "Lugar",
  tags: "Etiquetas",
  addedBy: "Añadido por",
  guest: "un invitado",
  gone: "Se ha quitado esta foto o este vídeo.",
  processing: "Todavía se está preparando. Aparecerá aquí por sí solo.",
  notShown: "Tu navegador no puede mostrar este archivo. Descárgalo para verlo.",
  filmNotPlayed: "Tu navegador no puede reproducir este vídeo. Descárgalo para verlo.",
  filmWithheld: "Los vídeos de esta galería no se pueden reproducir aquí.",
} satisfies Like<typeof english>;
