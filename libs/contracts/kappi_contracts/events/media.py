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


class MediaReady(Event, frozen=True, kw_only=True):
    """The item was probed and has its grid rendition. width, height: pixels as displayed."""

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


class MediaRejected(Event, frozen=True, kw_only=True):
    """The upload is not what it claimed to be, or not a medium at all; its bytes may be removed.

    reason: stable and machine-readable, an open set (`type_mismatch`, `corrupt`, `too_many_pixels`, ...).
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    reason: str
    rejected_at: Instant


class MediaDeleted(Event, frozen=True, kw_only=True):
    """The item is gone; its bytes may be removed.

    The deletion of a gallery is not told item by item. An item of a deleted gallery may still be named, once
    more or for the first time, when bytes of it came late.
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    reason: Literal["requested", "abandoned", "account_deleted"]
    deleted_at: Instant


class MediaMoved(Event, frozen=True, kw_only=True):
    """A ready item is in `gallery_id` now, no longer in `from_gallery_id`; both are its owner's."""

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    from_gallery_id: UUID
    size_bytes: int
    moved_at: Instant


class ObjectsUnused(Event, frozen=True, kw_only=True):
    """One folder of an item is not read any more after `purge_after`; what is in it may be removed then.

    folder: as in the keys of the objects; null: the one they were uploaded to.
    """

    aggregate: ClassVar[str] = "media_id"
    media_id: UUID
    gallery_id: UUID
    folder: int | None
    purge_after: Instant


class LinkCreated(Event, frozen=True, kw_only=True):
    """An expiring link to an item exists. expires_at: UTC; it never moves. The link itself is in no event."""

    aggregate: ClassVar[str] = "link_id"
    link_id: UUID
    media_id: UUID
    gallery_id: UUID
    expires_at: Instant
    created_at: Instant


Count = Annotated[int, msgspec.Meta(ge=1)]


class TraitCount(msgspec.Struct, frozen=True, kw_only=True):
    """Views that have one trait in common. value: from a closed list, `other` or `unknown` beside it."""

    trait: Literal["language", "role", "app"]
    value: str
    count: Count


class KindCount(msgspec.Struct, frozen=True, kw_only=True):
    """Accesses of one kind. kind: an open set (`view`, `item_view`, `preview`, `download`, ...)."""

    kind: str
    count: Count


class ItemCount(msgspec.Struct, frozen=True, kw_only=True):
    """Accesses of one kind to one item. They are in the gallery's counts as well."""

    media_id: UUID
    kind: str
    count: Count


class MediaAccessed(Event, frozen=True, kw_only=True):
    """How often a gallery was looked at and taken home since the last count: many accesses, added up.

    Additive: apply every event once, in any order. day: UTC. Each list is a count of its own; what they count
    is not crossed. kinds, items: of all accesses. traits: of views alone.
    """

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    day: date
    kinds: tuple[KindCount, ...]
    traits: tuple[TraitCount, ...]
    items: tuple[ItemCount, ...]
