import type { Like } from "../index";
import type english from "../en/gallery";

export default {
  title: "Galerie partagée",
} satisfies Like<typeof english>;
