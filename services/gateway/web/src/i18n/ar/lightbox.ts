import type { Like } from "../index";
import type english from "../en/lightbox";

export default {
  viewer: "الصور والأفلام واحدًا واحدًا",
  zoom: "تكبير",
  previous: "السابق",
  next: "التالي",
  position: "{n} من {total}: {name}",
  details: "التفاصيل",
  download: "تنزيل",
  share: "مشاركة",
  linkCopied: "نُسخ الرابط.",
  taken: "وقت الالتقاط",
  camera: "الكاميرا",
  dimensions: "الأبعاد",
  length: "المدة",
  file: "الملف",
  size: "الحجم",
  place: "المكان",
  tags: "الوسوم",
  addedBy: "أضافه",
  guest: "ضيف",
  gone: "أُزيلت هذه الصورة أو هذا الفيلم.",
  processing: "ما زال قيد التحضير. سيظهر هنا تلقائيًا.",
  notShown: "لا يستطيع متصفحك عرض هذا الملف. نزّله لمشاهدته.",
  filmNotPlayed: "لا يستطيع متصفحك تشغيل هذا الفيلم. نزّله لمشاهدته.",
  filmWithheld: "لا يمكن تشغيل أفلام هذا المعرض هنا.",
} satisfies Like<typeof english>;
