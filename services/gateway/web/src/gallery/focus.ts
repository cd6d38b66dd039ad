import { tick } from "svelte";

/** Gives the focus to an element, also to one that takes none by itself, such as a heading. */
export function focusOn(element: HTMLElement | null | undefined): void {
  if (!element) return;
  if (element.tabIndex < 0) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

/** Moves the focus if the element that has it goes with the next change of the page. selector: of what gets it. */
export async function passFocus(selector: string): Promise<void> {
  const before = document.activeElement;
  if (!before || before === document.body) return;
  await tick();
  const now = document.activeElement;
  const isLost = now === before ? before.getClientRects().length === 0 : !now || now === document.body;
  if (isLost) focusOn(document.querySelector<HTMLElement>(selector));
}
