import type { Like } from "../index";
import type english from "../en/common";

export default {
  offline: "Im Moment gibt es keine Verbindung.",
  tryAgain: "Noch einmal versuchen",
  close: "Schließen",
  failed: "Das hat nicht geklappt.",
} satisfies Like<typeof english>;
