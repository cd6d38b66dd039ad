import type { Like } from "../index";
import type english from "../en/gallery";

export default {
  title: "Geteilte Galerie",
} satisfies Like<typeof english>;
