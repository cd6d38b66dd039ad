import type { Catalogue } from "../index";

export default {
  heading: "Add your photos and films",
  openLead: "Everyone with the link sees what you add.",
  dropLead: "Only you and the owner of the gallery see what you add.",
  name: "Your name",
  nameHint: "Optional. It is shown with what you add.",
  begin: "Add photos and films",
  beginning: "One moment …",
  addingAs: "You add as {name}.",
  addingUnnamed: "You add without a name.",
  keptHere: "This browser remembers you, so that you can delete what you added.",
  notKept: "This browser keeps nothing: you can delete what you add as long as this page is open.",
  yours: { one: "{n} item of yours", other: "{n} items of yours" },
  remove: "Delete {name}",
  removing: "Delete this item for everyone?",
  confirm: "Delete",
  cancel: "Keep",
  removed: "Deleted.",
  closed: "This gallery takes no more contributions. You can still delete what you added.",
  keyGone: "You were removed from the contributors of this gallery. What you added may still be in it.",
  tooMany: "This gallery has as many contributors as it can have.",
} as const satisfies Catalogue;
