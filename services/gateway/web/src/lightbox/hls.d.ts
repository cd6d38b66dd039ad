/** The light build has no types of its own: it is the same without subtitles, further sound tracks and DRM. */
declare module "hls.js/light" {
  export { default } from "hls.js";
}
