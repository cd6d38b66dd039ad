import type { Like } from "../index";
import type english from "../en/wall";

export default {
  title: "معرض مشترك",
  slideShow: "عرض شرائح",
  waiting: "ستظهر الصورة الأولى هنا تلقائيًا.",
  qr: "رمز QR لرابط هذا المعرض",
  pause: "إيقاف مؤقت",
  goOn: "متابعة",
  fullScreen: "ملء الشاشة",
  leave: "مغادرة العرض",
} satisfies Like<typeof english>;
