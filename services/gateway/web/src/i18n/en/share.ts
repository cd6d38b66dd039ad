import type { Catalogue } from "../index";

export default {
  heading: "Share photos and films by a link",
  lead: "In the quality they were taken. No account is needed, neither by you nor by those who get the link.",
  title: "Title",
  titleHint: "Optional",
  expiry: "The gallery ends after",
  password: "Password for viewers",
  passwordHint: "Optional. Viewers need it in addition to the link.",
  getLink: "Get a link",
  gettingLink: "One moment …",
  rulesAnonymous: "Without an account a gallery is deleted after 30 days at most. The key to manage it is shown once, with the link.",
  rulesAccount: "The gallery belongs to your account and does not end.",
  rulesFiles: "JPEG, PNG, GIF, WebP, HEIC, AVIF, TIFF, BMP, camera RAW, MP4, MOV, WebM, MKV, 3GP, AVI, MPEG-TS and WMV. Originals stay as they are, with what the camera wrote into them.",
  resumeHeading: "Not finished yet",
  resume: { one: "{title}: {n} file is not sent.", other: "{title}: {n} files are not sent." },
  untitled: "Gallery without a title",
  goOn: "Go on",
  discard: "Discard",
  shared: "Your gallery has a link",
  sharedHint: "It works already. What you add appears there as soon as it is sent.",
} as const satisfies Catalogue;
