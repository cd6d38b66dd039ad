"""Rows that services show each other, so that each can compare its own with them (ADR-0064).

The answers of `GET /internal/reconcile/…?after=ID&limit=N` are JSON arrays of these, in the order of the ids
behind `after`. An array shorter than `limit` is the last one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

PATH: Final = "/internal/reconcile"


class ReadyItem(msgspec.Struct, frozen=True, kw_only=True):
    """A ready item, from media. moved: whether it was ever moved to another gallery."""

    media_id: UUID
    gallery_id: UUID
    version: int
    size_bytes: int
    contributor_id: UUID | None
    moved: bool


class HeldGallery(msgspec.Struct, frozen=True, kw_only=True):
    """What media knows about a gallery. version: of the gallery, as of the last `GalleryUpdated`.

    settled: no upload in it is younger than the longest one may last, so that its objects may be removed.
    """

    gallery_id: UUID
    deleted: bool
    owner_id: UUID | None
    location_free: bool
    closed: bool
    contributions_closed: bool
    version: int
    settled: bool


class StoredPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A stored picture of a post, from media. settled: as of a gallery."""

    post_id: UUID
    account_id: UUID
    settled: bool


class GalleryDeadline(msgspec.Struct, frozen=True, kw_only=True):
    """A gallery that expires, from galleries. version: of the gallery."""

    gallery_id: UUID
    version: int
    expires_at: datetime


class LinkDeadline(msgspec.Struct, frozen=True, kw_only=True):
    """An expiring link, from media."""

    link_id: UUID
    media_id: UUID
    expires_at: datetime


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Items, with their galleries, and posts: asked about, and in the answer those that the service still
    names.
    """

    items: tuple[tuple[UUID, UUID], ...] = ()
    post_ids: tuple[UUID, ...] = ()
