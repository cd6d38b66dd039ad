import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "Añada sus fotos y vídeos",
  openLead: "Todas las personas con el enlace ven lo que añade.",
  dropLead: "Solo usted y la persona dueña de la galería ven lo que añade.",
  name: "Su nombre",
  nameHint: "Opcional. Se muestra junto a lo que añade.",
  begin: "Añadir fotos y vídeos",
  beginning: "Un momento …",
  addingAs: "Añade como {name}.",
  addingUnnamed: "Añade sin nombre.",
  keptHere: "Este navegador le recuerda, para que pueda borrar lo que añadió.",
  notKept: "Este navegador no guarda nada: puede borrar lo que añada mientras esta página esté abierta.",
  yours: { one: "{n} elemento suyo", other: "{n} elementos suyos" },
  remove: "Borrar {name}",
  removing: "¿Borrar este elemento para todos?",
  confirm: "Borrar",
  cancel: "Conservar",
  removed: "Borrado.",
  closed: "Esta galería ya no acepta contribuciones. Aún puede borrar lo que añadió.",
  keyGone: "Se le quitó de quienes contribuyen a esta galería. Lo que añadió puede seguir en ella.",
  tooMany: "Esta galería tiene tantas personas que contribuyen como puede tener.",
} satisfies Like<typeof english>;
