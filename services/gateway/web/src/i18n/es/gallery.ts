import type { Like } from "../index";
import type english from "../en/gallery";

export default {
  title: "Galería compartida",
} satisfies Like<typeof english>;
