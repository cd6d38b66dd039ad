/** The calls of the API that an upload makes. */

import { type Access, type Item, request } from "../api";
import type { KeptFile } from "./database";
import type { Signed } from "./sending";

export interface SignedPart extends Signed {
  number: number;
}

/** One upload of the answer to a batch, or its state. */
export interface Promised {
  id: string;
  media_id: string;
  method: "single" | "multipart";
  /** Seconds until the URLs expire. */
  expires_in: number;
  single?: Signed;
  multipart?: {
    part_size: number;
    part_count: number;
    present?: { number: number; size: number; etag: string }[];
    parts: SignedPart[];
  };
  state?: "pending" | "completed" | "rejected" | "aborted" | "expired";
  rejection_reason?: string;
  duplicate_of?: string;
}

/** The item of an upload; a sidecar whose picture is not completed has none. */
export type Completed = Item | { status: "waiting" };

const ABORTED_AT_ONCE = 4;

/** access: asked before each call, because a token is renewed while a film is sent. */
export class Calls {
  constructor(private readonly access: () => Promise<Access>) {}

  async sign(galleryId: string, files: readonly KeptFile[], idempotencyKey: string): Promise<Promised[]> {
    const body = {
      files: files.map(({ name, size, type, sha256 }) => ({
        filename: name.slice(0, 255),
        size,
        content_type: type,
        ...(sha256 === undefined ? {} : { sha256 }),
      })),
      connection: isSlow() ? "slow" : "normal",
    };
    const path = `v1/galleries/${galleryId}/uploads`;
    const answer = await this.#call<{ uploads: Promised[] }>("POST", path, body, idempotencyKey);
    return answer.uploads;
  }

  status(uploadId: string): Promise<Promised> {
    return this.#call("GET", `v1/uploads/${uploadId}`);
  }

  parts(uploadId: string, numbers: number[]): Promise<{ parts: SignedPart[]; expires_in: number }> {
    return this.#call("POST", `v1/uploads/${uploadId}/parts`, { numbers });
  }

  complete(uploadId: string, etags: Record<number, string>): Promise<Completed> {
    const parts = Object.entries(etags).map(([number, etag]) => ({ number: Number(number), etag }));
    return this.#call("POST", `v1/uploads/${uploadId}/complete`, parts.length ? { parts } : undefined);
  }

  abort(uploadId: string): Promise<void> {
    return this.#call("DELETE", `v1/uploads/${uploadId}`);
  }

  /** Ends uploads, a few at a time. Without an answer nothing is lost: the server ends them by itself. */
  async abortAll(uploadIds: readonly string[]): Promise<void> {
    const left = [...uploadIds];
    const abortNext = async (): Promise<void> => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) await this.abort(id).catch(() => {});
    };
    await Promise.all(Array.from({ length: ABORTED_AT_ONCE }, abortNext));
  }

  item(mediaId: string): Promise<Item> {
    return this.#call("GET", `v1/media/${mediaId}`);
  }

  async #call<T>(method: string, path: string, body?: unknown, idempotencyKey?: string): Promise<T> {
    return request<T>(method, path, { access: await this.access(), body, idempotencyKey });
  }
}

// Small parts lose less on a connection that breaks.
function isSlow(): boolean {
  const { connection } = navigator as { connection?: { effectiveType?: string; saveData?: boolean } };
  return connection?.saveData === true || /2g|3g/.test(connection?.effectiveType ?? "");
}
