import type { Like } from "../index";
import type english from "../en/lightbox";

export default {
  viewer: "写真と動画を 1 件ずつ表示",
  zoom: "拡大",
  previous: "前へ",
  next: "次へ",
  position: "{total} 件中 {n} 件目: {name}",
  details: "詳細",
  download: "ダウンロード",
  share: "共有",
  linkCopied: "リンクをコピーしました。",
  taken: "撮影日時",
  camera: "カメラ",
  dimensions: "サイズ（ピクセル）",
  length: "長さ",
  file: "ファイル",
  size: "容量",
  place: "場所",
  tags: "タグ",
  addedBy: "追加した人",
  guest: "ゲスト",
  gone: "この写真または動画は削除されました。",
  processing: "まだ準備中です。できあがると自動で表示されます。",
  notShown: "このファイルはブラウザーで表示できません。ダウンロードしてご覧ください。",
  filmNotPlayed: "この動画はブラウザーで再生できません。ダウンロードしてご覧ください。",
  filmWithheld: "このギャラリーの動画はここでは再生できません。",
} satisfies Like<typeof english>;
