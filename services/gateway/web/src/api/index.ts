export { asProblem, type FieldError, Problem } from "./problem";
export { idempotencyKey } from "./random";
export { type Access, address, headersOf, type Options, request, ROOT } from "./request";
export { joinSignals } from "./signals";
export type * from "./types";
