"""The janitor's rules, without I/O: turns of the timer, pauses between attempts, sweeps for late arrivals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

FIRST_PAUSE = timedelta(seconds=1)

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PURGED_PREFIX = f"(galleries/{_UUID}/({_UUID}(/|[.][0-9]+/)?)?|posts/{_UUID}/)"
"""The prefixes that may be purged: of a gallery, an item with all its folders, one folder of an item, a post.

Another prefix could hold objects of another owner. This is a regular expression of Python and of PostgreSQL.
"""


def check_purged_prefix(prefix: str) -> None:
    """Raises ValueError for a prefix that must not be purged."""
    if re.fullmatch(PURGED_PREFIX, prefix) is None:
        raise ValueError(f"not the prefix of a gallery, an item, a folder of one or a post: {prefix!r}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """One turn of the timer. number: grows by one with each turn; it is the tick's sequence."""

    number: int
    starts_at: datetime
    ends_at: datetime


def bucket_of(now: datetime, *, every: timedelta) -> Bucket:
    """Returns the turn that contains `now`; replicas with the same interval agree on it."""
    number = (now - _EPOCH) // every
    starts_at = _EPOCH + number * every
    return Bucket(number=number, starts_at=starts_at, ends_at=starts_at + every)


@dataclass(frozen=True, slots=True)
class GalleryScope:
    """A purge of a gallery, of one item of it, or of one folder of that item."""

    gallery_id: UUID
    media_id: UUID | None
    prefix: str


@dataclass(frozen=True, slots=True)
class PostScope:
    """A purge of a post's picture."""

    post_id: UUID
    prefix: str


Scope = GalleryScope | PostScope
"""The objects that a purge removes."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A purge leased by this process. until: when the lease ends if there is no progress. requested_at: when
    the requesting event arrived here. traceparent: of that event.
    """

    id: UUID
    purge_id: UUID
    until: datetime
    scope: Scope
    requested_at: datetime
    attempts: int
    traceparent: str | None = None


def next_sweep(*, requested_at: datetime, began_at: datetime, delays: Sequence[timedelta]) -> datetime | None:
    """Returns when the next sweep of a prefix is due, after one that began at `began_at` left nothing.

    A URL signed just before the deletion still accepts its upload for minutes, and a large file on a slow
    line arrives hours after that. delays: counted from `requested_at`. None once the last one is past.
    """
    return min((at for delay in delays if (at := requested_at + delay) > began_at), default=None)


def retry_pause(attempts: int, *, longest: timedelta, jitter: float) -> timedelta:
    """Returns the pause after the nth failed attempt (from 1). jitter: 0 to 1, spreads the second half."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 30)
    return min(doubled, longest) * (0.5 + jitter / 2)
