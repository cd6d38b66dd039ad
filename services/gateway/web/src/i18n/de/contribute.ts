import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "Eigene Fotos und Filme hinzufügen",
  openLead: "Alle, die den Link haben, sehen, was Sie hinzufügen.",
  dropLead: "Nur Sie und der Besitzer der Galerie sehen, was Sie hinzufügen.",
  name: "Ihr Name",
  nameHint: "Freiwillig. Er steht bei dem, was Sie hinzufügen.",
  begin: "Fotos und Filme hinzufügen",
  beginning: "Einen Moment …",
  addingAs: "Sie fügen als {name} hinzu.",
  addingUnnamed: "Sie fügen ohne Namen hinzu.",
  keptHere: "Dieser Browser merkt sich Sie, damit Sie löschen können, was Sie hinzugefügt haben.",
  notKept: "Dieser Browser behält nichts: Sie können löschen, was Sie hinzufügen, solange diese Seite offen ist.",
  yours: { one: "{n} Element von Ihnen", other: "{n} Elemente von Ihnen" },
  remove: "{name} löschen",
  removing: "Dieses Element für alle löschen?",
  confirm: "Löschen",
  cancel: "Behalten",
  removed: "Gelöscht.",
  closed: "Diese Galerie nimmt keine Beiträge mehr an. Was Sie hinzugefügt haben, können Sie noch löschen.",
  keyGone: "Sie wurden aus den Beitragenden dieser Galerie entfernt. Was Sie hinzugefügt haben, kann noch darin sein.",
  tooMany: "Diese Galerie hat so viele Beitragende, wie sie haben kann.",
} satisfies Like<typeof english>;
