import type { Like } from "../index";
import type english from "../en/home";

export default {
  title: "Kappi：短いリンクで写真と動画を",
  toContent: "本文へ",
  reference: "API リファレンス",
  openByCode: "ギャラリーを開く",
  code: "ギャラリーのコード",
  codeHint: "コードは英数字だけです。ギャラリーのリンクの最後の部分です。",
  open: "開く",
  navigation: "アカウント",
  myGalleries: "マイギャラリー",
  signIn: "ログイン",
} satisfies Like<typeof english>;
