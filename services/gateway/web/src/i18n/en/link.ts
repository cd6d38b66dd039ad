import type { Catalogue } from "../index";

export default {
  link: "Link",
  whoHasLink: "Everyone with this link can see the gallery.",
  whoHasLinkAndPassword: "Everyone with this link and the password can see the gallery.",
  private: "This gallery is private: it has no link, and only you can see it.",
  copy: "Copy",
  copied: "Copied",
  copyYourself: "The text is selected: copy it yourself.",
  openGallery: "Open the gallery",
  shareSheet: "Share …",
  qrCode: "QR code of the link",
  saveQr: "Save the QR code",
  code: "Code:",
  manageLink: "Management link",
  manageHint: "Without this link the gallery can no longer be changed or deleted. Keep it, and do not share it.",
  saveFile: "Save as a text file",
  rememberHere: "Remember it in this browser",
  notRemembered: "This browser keeps nothing. Copy the link or save it as a file.",
} as const satisfies Catalogue;
