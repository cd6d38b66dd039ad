import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "写真と動画を追加する",
  openLead: "追加したものは、リンクを持つ全員に見えます。",
  dropLead: "追加したものは、あなたとギャラリーの所有者だけに見えます。",
  name: "お名前",
  nameHint: "任意。追加したものとともに表示されます。",
  begin: "写真と動画を追加",
  beginning: "お待ちください…",
  addingAs: "{name} として追加しています。",
  addingUnnamed: "名前なしで追加しています。",
  keptHere: "追加したものを削除できるように、このブラウザーがあなたを記憶します。",
  notKept: "このブラウザーは何も保持しません。追加したものを削除できるのは、このページを開いている間だけです。",
  yours: { other: "あなたの {n} 件" },
  remove: "{name} を削除",
  removing: "これを全員の画面から削除しますか？",
  confirm: "削除",
  cancel: "残す",
  removed: "削除しました。",
  closed: "このギャラリーはもう投稿を受け付けていません。追加したものの削除はまだできます。",
  keyGone: "あなたはこのギャラリーの投稿者から外されました。追加したものはまだ残っている場合があります。",
  tooMany: "このギャラリーの投稿者数は上限に達しています。",
} satisfies Like<typeof english>;
