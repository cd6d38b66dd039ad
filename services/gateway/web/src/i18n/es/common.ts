import type { Like } from "../index";
import type english from "../en/common";

export default {
  offline: "No hay conexión en este momento.",
  tryAgain: "Volver a intentar",
  close: "Cerrar",
  failed: "No se pudo hacer.",
} satisfies Like<typeof english>;
