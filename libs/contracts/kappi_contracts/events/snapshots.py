from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from kappi_contracts.events.base import Event, Instant
from kappi_contracts.grants import Contributions


class GallerySnapshotTaken(Event, frozen=True, kw_only=True):
    """The state of a gallery when an operator took a snapshot. Kappi itself does not read it.

    It is for consumers that did not receive the earlier events. Its sequence is that of the gallery's last
    change. The fields are those of GalleryCreated and GalleryUpdated. A deleted gallery has no snapshot.
    """

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    owner_id: UUID | None
    visibility: Literal["shared", "private"]
    expires_at: Instant | None
    location_free: bool
    closed: bool
    contributions: Contributions
    created_at: Instant
    taken_at: Instant


class MediaSnapshotTaken(Event, frozen=True, kw_only=True):
    """The state of a ready item when an operator took a snapshot. Kappi itself does not read it.

    It is for consumers that did not receive the earlier events. Its sequence is that of the item's last
    change. The fields are those of MediaReady and MediaMoved. A deleted item has no snapshot; an item whose
    gallery was deleted may still have one for some time.
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
    contributor_id: UUID | None
    taken_at: Instant


class AccountSnapshotTaken(Event, frozen=True, kw_only=True):
    """The state of an account when an operator took a snapshot. Kappi itself does not read it.

    It is for consumers that did not receive the earlier events. Its sequence is that of the account's last
    change. The fields are those of AccountCreated, AccountTierChanged and AccountSuspensionChanged. A deleted
    account has no snapshot.
    """

    aggregate: ClassVar[str] = "account_id"
    account_id: UUID
    tier: str
    suspended: bool
    created_at: Instant
    taken_at: Instant
