import type { Catalogue } from "../index";

export default {
  title: "Shared gallery",
  slideShow: "Slide show",
  waiting: "The first photo appears here by itself.",
  qr: "QR code of the link to this gallery",
  pause: "Pause",
  goOn: "Continue",
  fullScreen: "Full screen",
  leave: "Leave slide show",
} as const satisfies Catalogue;
