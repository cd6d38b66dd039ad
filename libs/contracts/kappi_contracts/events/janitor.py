from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from kappi_contracts.events.base import Event, Instant

Origin = Literal["timer", "operator"]
"""The source of the tick, or of the event that a tick caused."""


class JanitorTick(Event, frozen=True, kw_only=True):
    """Consumers do the work that is due at `at` (UTC). A test or an operator can set the time of a tick."""

    aggregate: ClassVar[str] = "schedule"
    acts_as_of: ClassVar[str] = "at"
    schedule: str
    at: Instant
    origin: Origin


class GalleryExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The janitor found that a gallery was due as of `as_of`; the galleries service alone decides.

    origin: source of the tick; only an operator's tick may have a time in the future.
    """

    aggregate: ClassVar[str] = "gallery_id"
    acts_as_of: ClassVar[str] = "as_of"
    gallery_id: UUID
    expires_at: Instant
    as_of: Instant
    origin: Origin = "timer"


class LinkExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The janitor found that an expiring link was due as of `as_of`; the media service alone decides.

    origin: source of the tick; only an operator's tick may have a time in the future.
    """

    aggregate: ClassVar[str] = "link_id"
    acts_as_of: ClassVar[str] = "as_of"
    link_id: UUID
    media_id: UUID
    expires_at: Instant
    as_of: Instant
    origin: Origin = "timer"


class ObjectsPurged(Event, frozen=True, kw_only=True):
    """No object is left under `prefix`. objects: number that this purge removed, all versions counted."""

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    media_id: UUID | None
    prefix: str
    objects: int
    purged_at: Instant


class PostPurged(Event, frozen=True, kw_only=True):
    """No object is left of a post's picture.

    objects: number that this purge removed, all versions counted.
    """

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    prefix: str
    objects: int
    purged_at: Instant
