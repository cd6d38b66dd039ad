import type { Like } from "../index";
import type english from "../en/gallery";

export default {
  title: "共有ギャラリー",
} satisfies Like<typeof english>;
