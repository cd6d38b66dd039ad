import type { Like } from "../index";
import type english from "../en/common";

export default {
  offline: "Il n’y a pas de connexion pour le moment.",
  tryAgain: "Réessayer",
  close: "Fermer",
  failed: "Cela n’a pas fonctionné.",
} satisfies Like<typeof english>;
