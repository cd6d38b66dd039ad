import { get } from "svelte/store";
import { asAccount, signedIn } from "../account/session";
import { asProblem, idempotencyKey, type ManagedGallery, Problem, request } from "../api";
import { forgetKey } from "./keys";

/** The changes that `PATCH /v1/galleries/{id}` takes. */
export type Changes = Partial<
  Pick<
    ManagedGallery,
    "title" | "visibility" | "location_free" | "contributions" | "cover_media_id" | "max_views" | "max_downloads"
  >
> & { password?: string | null; expires_in?: number };

/** A gallery and what its manager may do with it. key: undefined for a gallery of the account. */
export class Manager {
  gallery: ManagedGallery = $state.raw() as ManagedGallery;
  key = $state.raw<string>();
  #rotation = idempotencyKey();

  constructor(gallery: ManagedGallery, key: string | undefined) {
    this.gallery = gallery;
    this.key = key;
  }

  /** Sends a request as the manager. path: below the gallery's, or a whole one. Throws Problem. */
  send<T>(method: string, path: string, body?: unknown): Promise<T> {
    return sendAs<T>(this.key, method, path, body);
  }

  async change(changes: Changes): Promise<void> {
    this.gallery = await this.send<ManagedGallery>("PATCH", this.path(), changes);
  }

  /** Replaces the key; a repetition after a lost answer gets the same new one. Returns it. Throws Problem. */
  async rotateKey(): Promise<string> {
    const path = this.path("/rotate-key");
    const { access_key } = await sendAs<{ access_key: string }>(this.key, "POST", path, undefined, this.#rotation);
    this.#rotation = idempotencyKey();
    return (this.key = access_key);
  }

  async reload(): Promise<void> {
    this.gallery = await this.send<ManagedGallery>("GET", this.path());
  }

  /** Returns a path of the gallery. */
  path(below = ""): string {
    return `v1/galleries/${this.gallery.id}${below}`;
  }
}

/**
 * Opens a gallery as its manager, by the first key that is right, else by the account's login.
 *
 * Throws Problem: `gallery_key_missing` if there is no credential, else the last refusal.
 */
export async function openGallery(galleryId: string, keys: readonly (string | undefined)[]): Promise<Manager> {
  let refusal = new Problem(401, "gallery_key_missing");
  const tried = [...new Set(keys.filter((key) => key !== undefined)), ...(get(signedIn) ? [undefined] : [])];
  for (const key of tried) {
    try {
      return new Manager(await sendAs<ManagedGallery>(key, "GET", `v1/galleries/${galleryId}`), key);
    } catch (failure) {
      refusal = asProblem(failure);
      if (![401, 403].includes(refusal.status)) throw refusal;
      if (key !== undefined && refusal.code === "gallery_key_wrong") forgetKey(galleryId, key);
    }
  }
  throw refusal;
}

function sendAs<T>(
  key: string | undefined,
  method: string,
  path: string,
  body?: unknown,
  idempotencyKey?: string,
): Promise<T> {
  const options = { body, idempotencyKey };
  return key === undefined
    ? asAccount((token) => request<T>(method, path, { ...options, access: { token } }))
    : request<T>(method, path, { ...options, access: { galleryKey: key } });
}
