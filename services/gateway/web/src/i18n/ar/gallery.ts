import type { Like } from "../index";
import type english from "../en/gallery";

export default {
  title: "معرض مشترك",
} satisfies Like<typeof english>;
