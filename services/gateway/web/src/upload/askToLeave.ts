import { mount, unmount } from "svelte";
import Leave from "./Leave.svelte";

/** Asks in a dialog whether files may stay unsent. */
export function askToLeave(): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = mount(Leave, {
      target: document.body,
      props: {
        onanswer(isLeaving: boolean) {
          void unmount(dialog);
          resolve(isLeaving);
        },
      },
    });
  });
}
