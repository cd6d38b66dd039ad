/** The contributor that this browser is in a gallery. */

import { type Access, type Gallery, idempotencyKey, request } from "../api";

export interface Contributor {
  id: string;
  name: string | null;
  key: string;
}

const PREFIX = "kappi.contributor.";
/** The key under the code of a `drop` gallery: its page sends it before it knows the gallery's id. */
const BY_CODE = "kappi.contributor-of.";

export function contributorOf(galleryId: string): Contributor | undefined {
  try {
    return (JSON.parse(localStorage.getItem(PREFIX + galleryId) ?? "null") as Contributor | null) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Returns false if the browser keeps nothing, as in some private windows. */
export function keepContributor(gallery: Gallery, code: string, contributor: Contributor): boolean {
  try {
    localStorage.setItem(PREFIX + gallery.id, JSON.stringify(contributor));
    if (gallery.contributions === "drop") localStorage.setItem(BY_CODE + code, contributor.key);
    else localStorage.removeItem(BY_CODE + code);
    return true;
  } catch {
    return false;
  }
}

export function forgetContributor(galleryId: string, code: string): void {
  try {
    localStorage.removeItem(PREFIX + galleryId);
    localStorage.removeItem(BY_CODE + code);
  } catch {
    // nothing was kept
  }
}

interface Created {
  id: string;
  name: string | null;
  contributor_key: string;
}

/** Becomes contributors: a repeated attempt after a lost answer gets the same one. */
export class Joining {
  #name: string | undefined;
  #key = "";

  /** Throws Problem. */
  async join(code: string, password: string | undefined, name: string): Promise<Contributor> {
    if (name !== this.#name) [this.#name, this.#key] = [name, idempotencyKey()];
    const access: Access = { password };
    const body = name ? { name } : {};
    const path = `v1/g/${code}/contributors`;
    const created = await request<Created>("POST", path, { access, body, idempotencyKey: this.#key });
    return { id: created.id, name: created.name, key: created.contributor_key };
  }
}
