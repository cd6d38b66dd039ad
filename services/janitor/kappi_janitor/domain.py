"""The janitor's rules, without I/O: hours of the clock, pauses between attempts, late arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIRST_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One turn of the timer. number: counts up by one each turn, so it serves as the tick's sequence."""

    number: int
    starts_at: datetime
    ends_at: datetime


def bucket_of(now: datetime, *, every: timedelta) -> Bucket:
    """The turn that `now` falls in; replicas with the same interval agree on it."""
    number = (now - _EPOCH) // every
    starts_at = _EPOCH + number * every
    return Bucket(number=number, starts_at=starts_at, ends_at=starts_at + every)


@dataclass(frozen=True, slots=True)
class GalleryScope:
    """A purge of a gallery, or of one item of it."""

    gallery_id: UUID
    media_id: UUID | None
    prefix: str


@dataclass(frozen=True, slots=True)
class PostScope:
    """A purge of a post's picture."""

    post_id: UUID
    prefix: str


Scope = GalleryScope | PostScope
"""What a purge removes."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A purge taken up by this process. requested_at: when its owner's *deleted* arrived here."""

    id: UUID
    purge_id: UUID
    scope: Scope
    requested_at: datetime
    attempts: int


def next_sweep(*, requested_at: datetime, began_at: datetime, delays: Sequence[timedelta]) -> datetime | None:
    """When to look under a prefix again, after a sweep that began at `began_at` found or left nothing.

    A URL signed just before the deletion still accepts its upload for minutes, and a large file on a slow
    line lands hours after that. delays: counted from `requested_at`. None once the last one is past.
    """
    return min((at for delay in delays if (at := requested_at + delay) > began_at), default=None)


def retry_pause(attempts: int, *, longest: timedelta, jitter: float) -> timedelta:
    """How long to wait after the nth failed attempt (from 1). jitter: 0 to 1, spreads the second half."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 30)
    return min(doubled, longest) * (0.5 + jitter / 2)
