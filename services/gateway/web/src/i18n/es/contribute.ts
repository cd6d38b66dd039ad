import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "Añade tus fotos y vídeos",
  openLead: "Todas las personas con el enlace ven lo que añades.",
  dropLead: "Solo tú y la persona dueña de la galería veis lo que añades.",
  name: "Tu nombre",
  nameHint: "Opcional. Se muestra junto a lo que añades.",
  begin: "Añadir fotos y vídeos",
  beginning: "Un momento …",
  addingAs: "Añades como {name}.",
  addingUnnamed: "Añades sin nombre.",
  keptHere: "Este navegador te recuerda, para que puedas borrar lo que añadiste.",
  notKept: "Este navegador no guarda nada: puedes borrar lo que añadas mientras esta página esté abierta.",
  yours: { one: "{n} elemento tuyo", other: "{n} elementos tuyos" },
  remove: "Borrar {name}",
  removing: "¿Borrar este elemento para todos?",
  confirm: "Borrar",
  cancel: "Conservar",
  removed: "Borrado.",
  closed: "Esta galería ya no acepta contribuciones. Aún puedes borrar lo que añadiste.",
  keyGone: "Se te quitó de quienes contribuyen a esta galería. Lo que añadiste puede seguir en ella.",
  tooMany: "Esta galería tiene tantas personas que contribuyen como puede tener.",
} satisfies Like<typeof english>;
