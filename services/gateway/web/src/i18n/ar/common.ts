import type { Like } from "../index";
import type english from "../en/common";

export default {
  offline: "لا يوجد اتصال في الوقت الحالي.",
  tryAgain: "حاول مرة أخرى",
  close: "إغلاق",
  failed: "لم ينجح ذلك.",
} satisfies Like<typeof english>;
