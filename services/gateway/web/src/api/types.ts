/** The documents of the API, as far as the pages use them. `docs/openapi.json` has the whole. */

export interface Signed {
  url: string;
  expires_at: string;
}

/** How a picture was taken. The second focal length is that of the same view on 35 mm film. */
export interface Exposure {
  lens: string | null;
  exposure_time_s: number | null;
  aperture: number | null;
  iso: number | null;
  focal_length_mm: number | null;
  focal_length_35mm: number | null;
}

/** A film that browsers play, or how far it is made: from 0 to 1. */
export type Playback = Signed | { state: "waiting" | "making"; progress: number };

export interface Item {
  id: string;
  gallery_id: string;
  filename: string;
  content_type: string;
  kind: "image" | "video";
  status: "processing" | "ready" | "rejected";
  rejection_reason?: string;
  size: number;
  width: number | null;
  height: number | null;
  duration_ms?: number | null;
  /** By the device's clock; without an offset it is the device's local time. */
  taken_at?: string | null;
  taken_offset_minutes?: number | null;
  camera?: { make: string | null; model: string | null } | null;
  exposure?: Exposure | null;
  /** 1 to 5; 0 for no rating, -1 for a picture that is rejected. */
  rating?: number | null;
  title?: string | null;
  /** How a panorama or a spherical film maps what is around it. */
  projection?: "cubemap" | "cylindrical" | "equirectangular" | null;
  /** Whether there is a film in this picture; `playback` leads to it. */
  motion?: boolean;
  /** The camera RAW of the same shot, or its picture. */
  raw_partner_id?: string | null;
  gps?: { latitude: number; longitude: number; altitude: number | null } | null;
  caption?: string | null;
  tags: string[];
  location?: string | null;
  attributes: Record<string, unknown>;
  /** A ThumbHash in base64. */
  placeholder?: string | null;
  created_at: string;
  original: Signed | null;
  /** The XMP file that was uploaded with it. */
  sidecar?: (Signed & { filename: string; size: number }) | null;
  renditions: Record<string, Signed>;
  contributor?: { id: string; name: string | null } | null;
}

export type Contributions = "closed" | "open" | "drop";

export interface Gallery {
  id: string;
  code: string | null;
  url: string | null;
  title: string | null;
  visibility: "shared" | "private";
  password_protected: boolean;
  location_free?: boolean;
  expires_at: string | null;
  created_at: string;
  item_count: number;
  contributions?: Contributions;
  cover_media_id?: string | null;
  access_key?: string;
}

/** One page of `GET /v1/g/{code}`. */
export interface View {
  gallery: Gallery;
  items: Item[];
  next_cursor: string | null;
}

/** A gallery as its manager sees it. */
export interface ManagedGallery extends Gallery {
  contributions: Contributions;
  cover_media_id: string | null;
  location_free: boolean;
  max_views: number | null;
  views_used: number;
  max_downloads: number | null;
  downloads_used: number;
  takedown_reason: string | null;
  size_bytes: number;
}

/** One page of a list. */
export interface ListPage<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Contributor {
  id: string;
  name: string | null;
  created_at: string;
  item_count: number;
  size_bytes: number;
}

export interface Account {
  id: string;
  email: string;
  display_name: string | null;
  tier: string;
}

/** A login of the account. */
export interface Login {
  id: string;
  device: string | null;
  created_at: string;
  last_used_at: string;
  current: boolean;
}
