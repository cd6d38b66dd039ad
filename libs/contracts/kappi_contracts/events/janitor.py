from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from kappi_contracts.events.base import Event, Instant

Origin = Literal["timer", "operator"]
"""Whose tick it is, or comes of."""


class JanitorTick(Event, frozen=True, kw_only=True):
    """Do what is due at `at` (UTC). Time comes with the tick, so that a test or an operator can set it."""

    aggregate: ClassVar[str] = "schedule"
    acts_as_of: ClassVar[str] = "at"
    schedule: str
    at: Instant
    origin: Origin


class GalleryExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The janitor's claim that a gallery was due as of `as_of`; the galleries service alone decides.

    origin: of the tick; only an operator's may be as of a moment to come.
    """

    aggregate: ClassVar[str] = "gallery_id"
    acts_as_of: ClassVar[str] = "as_of"
    gallery_id: UUID
    expires_at: Instant
    as_of: Instant
    origin: Origin = "timer"


class LinkExpired(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The janitor's claim that an expiring link was over as of `as_of`; the media service alone decides.

    origin: of the tick; only an operator's may be as of a moment to come.
    """

    aggregate: ClassVar[str] = "link_id"
    acts_as_of: ClassVar[str] = "as_of"
    link_id: UUID
    media_id: UUID
    expires_at: Instant
    as_of: Instant
    origin: Origin = "timer"


class ObjectsPurged(Event, frozen=True, kw_only=True):
    """Nothing is left under `prefix`. objects: how many this purge removed, all versions counted."""

    aggregate: ClassVar[str] = "gallery_id"
    gallery_id: UUID
    media_id: UUID | None
    prefix: str
    objects: int
    purged_at: Instant


class PostPurged(Event, frozen=True, kw_only=True):
    """Nothing is left of a post's picture. objects: how many this purge removed, all versions counted."""

    aggregate: ClassVar[str] = "post_id"
    post_id: UUID
    prefix: str
    objects: int
    purged_at: Instant
