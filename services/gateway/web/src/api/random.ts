/** Returns a new `Idempotency-Key`: with it, a repeated request has the effect of one. */
export function idempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
