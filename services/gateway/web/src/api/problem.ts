/** One refused field of a request. */
export interface FieldError {
  field: string;
  code: string;
  message: string;
}

/** A refusal of the API: a problem document (RFC 9457), or an answer that never came. */
export class Problem extends Error {
  /** code: stable, of the API, or `offline` if there was no answer. retryAfterS: 0 if unknown. */
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string = "",
    readonly retryAfterS: number = 0,
    readonly requestId: string = "",
    readonly errors: readonly FieldError[] = [],
  ) {
    super(detail || code);
  }

  /** Reads the body of a refusal. */
  static async of(answer: Response): Promise<Problem> {
    const body = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    const text = (name: string): string => (typeof body[name] === "string" ? (body[name] as string) : "");
    return new Problem(
      answer.status,
      text("code") || `http_${answer.status}`,
      text("detail"),
      Number(answer.headers.get("Retry-After")) || 0,
      text("request_id"),
      Array.isArray(body["errors"]) ? (body["errors"] as FieldError[]) : [],
    );
  }
}

/** Turns whatever was thrown into a Problem. */
export function asProblem(failure: unknown): Problem {
  if (failure instanceof Problem) return failure;
  return new Problem(0, "offline", failure instanceof Error ? failure.message : String(failure));
}
