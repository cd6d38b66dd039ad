from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from kappi_contracts.events.base import Event, Instant
from kappi_contracts.grants import Contributions


class GalleryCreated(Event, frozen=True, kw_only=True):
    """A gallery was created. expires_at: UTC, null if it never expires. owner_id: null if anonymous."""

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    owner_id: UUID | None
    visibility: Literal["shared", "private"]
    expires_at: Instant | None
    created_at: Instant


class GalleryUpdated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The public fields or the deadline of a gallery changed; carries the state after the change.

    location_free: viewers get copies of originals without the place of capture. closed: the content is not
    shown, because an administrator took the gallery down or suspended its owner. contributions: whether
    holders of the code may add items; `closed` ends pending uploads of contributors, null or absent (from an
    older release) changes nothing.
    """

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    owner_id: UUID | None
    visibility: Literal["shared", "private"]
    expires_at: Instant | None
    updated_at: Instant
    location_free: bool = False
    closed: bool = False
    contributions: Contributions | None = None


class GalleryDeleted(Event, frozen=True, kw_only=True):
    """A gallery was deleted: its rows and bytes may be removed everywhere."""

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    owner_id: UUID | None
    reason: Literal["requested", "expired", "account_deleted"]
    deleted_at: Instant


class ContributorRemoved(Event, frozen=True, kw_only=True):
    """A contributor of a gallery was removed: its key is void, and its pending uploads end.

    items_deleted: the items that it added to this gallery are to be deleted, too.
    """

    aggregate: ClassVar[str] = "contributor_id"
    contributor_id: UUID
    gallery_id: UUID
    items_deleted: bool
    removed_at: Instant
