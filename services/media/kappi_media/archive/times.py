"""The time of a file in an archive.

ZIP has two notations: local time without a zone, for every reader, and an extra field with the instant, for
readers that support it. Such a reader shows the instant in its own zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple

_FIRST = datetime(1980, 1, 1, tzinfo=UTC)
_LAST = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
_DAY = timedelta(days=1)
_INSTANTS = range(-(1 << 31), 1 << 31)


class EntryTime(NamedTuple):
    """A time in both notations. dos: date << 16 | time, to two seconds. instant: seconds since the epoch;
    None when it is not known.
    """

    dos: int
    instant: int | None


def entry_time(
    *,
    taken_at: datetime | None,
    offset_minutes: int | None,
    kind: Literal["image", "video"] | None,
    created_at: datetime,
) -> EntryTime:
    """Returns the time of a file. offset_minutes: east of UTC, if the device recorded it.

    A picture without an offset records what its camera's clock showed, not the instant: it gets no instant,
    so that every reader shows the camera's time. Films keep UTC. A file without any time gets the time of its
    upload.
    """
    if taken_at is None:
        return EntryTime(_dos(created_at.astimezone(UTC)), _instant(created_at))
    if offset_minutes is not None:
        near = min(max(taken_at, _FIRST - _DAY), _LAST + _DAY)  # a zone must not lead out of the calendar
        local = near.astimezone(timezone(timedelta(minutes=offset_minutes)))
        return EntryTime(_dos(local), _instant(taken_at))
    return EntryTime(_dos(taken_at.astimezone(UTC)), _instant(taken_at) if kind == "video" else None)


def _dos(wall: datetime) -> int:
    wall = min(max(wall.replace(tzinfo=UTC), _FIRST), _LAST)
    date = (wall.year - 1980) << 9 | wall.month << 5 | wall.day
    return date << 16 | wall.hour << 11 | wall.minute << 5 | wall.second // 2


def _instant(at: datetime) -> int | None:
    seconds = int(at.timestamp())
    return seconds if seconds in _INSTANTS else None
