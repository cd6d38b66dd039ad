from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec

from kappi_contracts.events.base import Event, Instant


class UploadCompleted(Event, frozen=True, kw_only=True):
    """The original is in the store and its size, checksum and magic bytes were checked."""

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    upload_id: UUID
    object_key: str
    content_type: str
    size_bytes: int
    completed_at: Instant


class MediaReady(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The item was probed and has its grid rendition. width, height: pixels as displayed.

    contributor_id: the contributor of the gallery that added it; null for its manager. owner_id: the account
    that owned the gallery when the item was taken up; null if anonymous, or absent (from an older release).
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    kind: Literal["image", "video"]
    content_type: str
    size_bytes: int
    width: int
    height: int
    duration_ms: int | None
    ready_at: Instant
    contributor_id: UUID | None = None
    owner_id: UUID | None = None


class MediaRejected(Event, frozen=True, kw_only=True):
    """The uploaded file is not of its declared type, or no picture or film at all; its bytes may be removed.

    reason: stable and machine-readable, an open set (`type_mismatch`, `corrupt`, `too_many_pixels`, ...).
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    reason: str
    rejected_at: Instant


class MediaDeleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The item was deleted; its bytes may be removed.

    The deletion of a gallery has no MediaDeleted per item. An item of a deleted gallery may still get one,
    its first or a repeated one, when bytes of it arrived late. owner_id: the account whose item it was; null
    or absent for an item of an anonymous gallery, an upload that never became an item, a repeated event, and
    from an older release.
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    reason: Literal["requested", "abandoned", "account_deleted"]
    deleted_at: Instant
    owner_id: UUID | None = None


class MediaMoved(Event, frozen=True, kw_only=True):
    """A ready item was moved from `from_gallery_id` to `gallery_id`; both galleries have one owner."""

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    from_gallery_id: UUID
    size_bytes: int
    moved_at: Instant


class ItemsReordered(Event, frozen=True, kw_only=True):
    """The order of a gallery's items was changed."""

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    reordered_at: Instant


class ObjectsUnused(Event, frozen=True, kw_only=True):
    """One folder of an item is not read any more after `purge_after`; its objects may be removed then.

    folder: as in the keys of the objects; null for the folder of the upload.
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    folder: int | None
    purge_after: Instant


class LinkCreated(Event, frozen=True, kw_only=True):
    """An expiring link to an item was created.

    expires_at: UTC; it never changes. No event has the link itself.
    """

    aggregate: ClassVar[str] = "link_id"
    link_id: UUID
    media_id: UUID
    gallery_id: UUID
    expires_at: Instant
    created_at: Instant


Count = Annotated[int, msgspec.Meta(ge=1)]


class TraitCount(msgspec.Struct, frozen=True, kw_only=True):
    """Number of views that have one trait in common. value: from a closed list, or `other` or `unknown`."""

    trait: Literal["language", "role", "app"]
    value: str
    count: Count


class KindCount(msgspec.Struct, frozen=True, kw_only=True):
    """Number of accesses of one kind. kind: an open set (`view`, `item_view`, `preview`, `download`, ...)."""

    kind: str
    count: Count


class ItemCount(msgspec.Struct, frozen=True, kw_only=True):
    """Number of accesses of one kind to one item. They are in the gallery's counts as well."""

    media_id: UUID
    kind: str
    count: Count


class MediaAccessed(Event, frozen=True, kw_only=True):
    """Numbers of accesses to a gallery since the last count.

    Additive: apply every event once, in any order. day: UTC. Each list is a separate count; there are no
    counts per combination. kinds, items: of all accesses. traits: of views alone.
    """

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    day: date
    kinds: tuple[KindCount, ...]
    traits: tuple[TraitCount, ...]
    items: tuple[ItemCount, ...]
