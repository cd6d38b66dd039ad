import type { Like } from "../index";
import type english from "../en/link";

export default {
  link: "الرابط",
  whoHasLink: "كل من لديه هذا الرابط يمكنه رؤية المعرض.",
  whoHasLinkAndPassword: "كل من لديه هذا الرابط وكلمة المرور يمكنه رؤية المعرض.",
  private: "هذا المعرض خاص: لا رابط له، ولا يراه غيرك.",
  copy: "نسخ",
  copied: "تم النسخ",
  copyYourself: "النص محدَّد: انسخه بنفسك.",
  openGallery: "افتح المعرض",
  shareSheet: "مشاركة…",
  qrCode: "رمز QR للرابط",
  saveQr: "احفظ رمز QR",
  code: "الرمز:",
  manageLink: "رابط الإدارة",
  manageHint: "بدون هذا الرابط لا يمكن تغيير المعرض أو حذفه. احفظه ولا تشاركه.",
  saveFile: "احفظه ملفًا نصيًا",
  rememberHere: "تذكَّره في هذا المتصفح",
  notRemembered: "لا يحفظ هذا المتصفح شيئًا. انسخ الرابط أو احفظه في ملف.",
} satisfies Like<typeof english>;
