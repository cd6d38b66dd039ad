import type { Like } from "../index";
import type english from "../en/wall";

export default {
  title: "共有ギャラリー",
  slideShow: "スライドショー",
  waiting: "最初の写真がここに自動で表示されます。",
  qr: "このギャラリーへのリンクの QR コード",
  pause: "一時停止",
  goOn: "続ける",
  fullScreen: "全画面",
  leave: "スライドショーを終了",
} satisfies Like<typeof english>;
