import type { Like } from "../index";
import type english from "../en/share";

export default {
  heading: "写真と動画をリンクで共有",
  lead: "撮影したままの画質で。あなたにも、リンクを受け取る人にも、アカウントは要りません。",
  title: "タイトル",
  titleHint: "任意",
  expiry: "ギャラリーの期限",
  password: "閲覧用パスワード",
  passwordHint: "任意。閲覧にはリンクに加えてこれが必要になります。",
  getLink: "リンクを取得",
  gettingLink: "お待ちください…",
  rulesAnonymous: "アカウントなしのギャラリーは最長 30 日で削除されます。管理用の鍵は、リンクとともに一度だけ表示されます。",
  rulesAccount: "ギャラリーはあなたのアカウントに属し、期限はありません。",
  rulesFiles: "JPEG、PNG、GIF、WebP、HEIC、AVIF、TIFF、BMP、カメラのRAW、MP4、MOV、WebM、MKV、3GP、AVI、MPEG-TS、WMV。元のファイルは、カメラが書き込んだ情報も含めてそのまま残ります。",
  resumeHeading: "未完了の共有",
  resume: { other: "{title}：{n} 件が未送信です。" },
  untitled: "タイトルのないギャラリー",
  goOn: "続ける",
  discard: "破棄",
  shared: "ギャラリーのリンクができました",
  sharedHint: "リンクはもう使えます。追加したものは、送信され次第そこに表示されます。",
} satisfies Like<typeof english>;
