import { asAccount } from "../account/session";
import { type Gallery, idempotencyKey, request } from "../api";
import { type KeptShare, keepShare } from "../upload/database";

/** The fields of a new gallery, as the API takes them. */
export interface Wishes {
  title?: string;
  password?: string;
  expires_in?: number;
}

/** Creates galleries: a repeated wish after a lost answer gets the same gallery. */
export class Creation {
  #wishes = "";
  #key = "";

  /** Returns the gallery, which this browser keeps until its files are sent. Throws Problem. */
  async create(wishes: Wishes, isAccount: boolean): Promise<KeptShare> {
    const text = JSON.stringify([wishes, isAccount]);
    if (text !== this.#wishes) [this.#wishes, this.#key] = [text, idempotencyKey()];
    const options = { body: wishes, idempotencyKey: this.#key };
    const { access_key: accessKey, ...gallery } = isAccount
      ? await asAccount((token) => request<Gallery>("POST", "v1/galleries", { ...options, access: { token } }))
      : await request<Gallery>("POST", "v1/galleries", options);
    const share: KeptShare = { galleryId: gallery.id, gallery, keptAt: Date.now(), ...(accessKey && { accessKey }) };
    await keepShare(share);
    return share;
  }
}
