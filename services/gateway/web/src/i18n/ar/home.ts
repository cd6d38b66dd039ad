import type { Like } from "../index";
import type english from "../en/home";

export default {
  title: "Kappi: صور وأفلام برابط قصير",
  toContent: "إلى المحتوى",
  reference: "مرجع واجهة البرمجة",
  openByCode: "افتح معرضًا",
  code: "رمز المعرض",
  codeHint: "الرمز حروف وأرقام فقط، وهو آخر رابط المعرض.",
  open: "افتح",
  navigation: "الحساب",
  myGalleries: "معارضي",
  signIn: "تسجيل الدخول",
} satisfies Like<typeof english>;
