import type { Like } from "../index";
import type english from "../en/home";

export default {
  lead: "Photos and films by a short link, in the quality they were taken.",
} satisfies Like<typeof english>;
