/** Returns the cap that a text names, null for none, undefined if it is no cap. */
export function capOf(text: string): number | null | undefined {
  const plain = text.trim();
  if (!plain) return null;
  const cap = /^\d{1,7}$/.test(plain) ? Number(plain) : 0;
  return cap >= 1 && cap <= 1_000_000 ? cap : undefined;
}
