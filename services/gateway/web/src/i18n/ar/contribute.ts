import type { Like } from "../index";
import type english from "../en/contribute";

export default {
  heading: "أضف صورك وأفلامك",
  openLead: "كل من لديه الرابط يرى ما تضيفه.",
  dropLead: "أنت وصاحب المعرض فقط تريان ما تضيفه.",
  name: "اسمك",
  nameHint: "اختياري. يظهر مع ما تضيفه.",
  begin: "أضف صورًا وأفلامًا",
  beginning: "لحظة …",
  addingAs: "تضيف باسم {name}.",
  addingUnnamed: "تضيف بلا اسم.",
  keptHere: "يتذكرك هذا المتصفح لكي تستطيع حذف ما أضفته.",
  notKept: "هذا المتصفح لا يحتفظ بشيء: يمكنك حذف ما تضيفه ما دامت هذه الصفحة مفتوحة.",
  yours: { one: "عنصر واحد لك", two: "عنصران لك", few: "{n} عناصر لك", other: "{n} عنصرًا لك" },
  remove: "حذف {name}",
  removing: "حذف هذا العنصر للجميع؟",
  confirm: "حذف",
  cancel: "إبقاء",
  removed: "حُذف.",
  closed: "لم يعد هذا المعرض يقبل المساهمات. ما زال بإمكانك حذف ما أضفته.",
  keyGone: "أُزلت من المساهمين في هذا المعرض. قد يكون ما أضفته ما زال فيه.",
  tooMany: "في هذا المعرض أكبر عدد ممكن من المساهمين.",
} satisfies Like<typeof english>;
