import type { Like } from "../index";
import type english from "../en/share";

export default {
  heading: "شارك الصور والأفلام برابط",
  lead: "بالجودة التي التُقطت بها. لا يحتاج أحد إلى حساب، لا أنت ولا من يصله الرابط.",
  title: "العنوان",
  titleHint: "اختياري",
  expiry: "ينتهي المعرض بعد",
  password: "كلمة مرور للمشاهدين",
  passwordHint: "اختيارية. يحتاج إليها المشاهدون مع الرابط.",
  getLink: "احصل على رابط",
  gettingLink: "لحظة …",
  rulesAnonymous: "بلا حساب يُحذف المعرض بعد 30 يومًا على الأكثر. مفتاح إدارته يظهر مرة واحدة مع الرابط.",
  rulesAccount: "المعرض ملك لحسابك ولا ينتهي.",
  rulesFiles: "JPEG وPNG وGIF وWebP وHEIC وAVIF وTIFF وBMP وRAW الكاميرات وMP4 وMOV وWebM وMKV و3GP وAVI وMPEG-TS وWMV. تبقى الملفات الأصلية كما هي، مع ما كتبته الكاميرا فيها.",
  resumeHeading: "لم يكتمل بعد",
  resume: {
    one: "{title}: ملف واحد لم يُرسل.",
    two: "{title}: ملفان لم يُرسلا.",
    few: "{title}: {n} ملفات لم تُرسل.",
    other: "{title}: {n} ملفًا لم يُرسل.",
  },
  untitled: "معرض بلا عنوان",
  goOn: "متابعة",
  discard: "تجاهل",
  shared: "لمعرضك رابط الآن",
  sharedHint: "الرابط يعمل. ما تضيفه يظهر هناك فور إرساله.",
} satisfies Like<typeof english>;
