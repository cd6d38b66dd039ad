import type { Like } from "../index";
import type english from "../en/common";

export default {
  offline: "現在、接続できません。",
  tryAgain: "もう一度試す",
  close: "閉じる",
  failed: "うまくいきませんでした。",
} satisfies Like<typeof english>;
