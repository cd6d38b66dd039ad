import type { Like } from "../index";
import type english from "../en/link";

export default {
  link: "リンク",
  whoHasLink: "このリンクを知っている人は誰でもギャラリーを見られます。",
  whoHasLinkAndPassword: "このリンクとパスワードを知っている人はギャラリーを見られます。",
  private: "このギャラリーは非公開です。リンクはなく、あなただけが見られます。",
  copy: "コピー",
  copied: "コピーしました",
  copyYourself: "テキストを選択しました。ご自分でコピーしてください。",
  openGallery: "ギャラリーを開く",
  shareSheet: "共有…",
  qrCode: "リンクの QR コード",
  saveQr: "QR コードを保存",
  code: "コード：",
  manageLink: "管理リンク",
  manageHint: "このリンクがないと、ギャラリーの変更や削除ができなくなります。保管し、他の人に渡さないでください。",
  saveFile: "テキストファイルに保存",
  rememberHere: "このブラウザーに記憶する",
  notRemembered: "このブラウザーには保存できません。リンクをコピーするか、ファイルに保存してください。",
} satisfies Like<typeof english>;
