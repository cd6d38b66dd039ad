/** The speed at which the page is scrolled. */

const FAST_PX_PER_MS = 3;
const RECENT_MS = 150;
let at = 0;
let time = 0;
let speed = 0;

addEventListener(
  "scroll",
  () => {
    const now = performance.now();
    speed = Math.abs(scrollY - at) / Math.max(now - time, 1);
    at = scrollY;
    time = now;
  },
  { passive: true },
);

/** Whether what comes into sight will be gone in a moment. */
export const isFast = (): boolean => performance.now() - time < RECENT_MS && speed > FAST_PX_PER_MS;
