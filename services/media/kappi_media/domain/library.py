"""The filters and orders of an account's library, and the map squares of its lists. Without I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID

from kappi_media.domain.media import AccountId, GalleryId, Kind

EARTH_RADIUS_KM: Final = 6371.0088
MAX_WITHIN_KM: Final = 1_000.0
KM_PER_DEGREE: Final = EARTH_RADIUS_KM * math.pi / 180
CELL_SIZES_DEG: Final = (2.8125, 0.3515625, 0.0439453125)
"""The sizes of the squares that items with coordinates are listed by, as `library_cells` in the database
defines them.
"""
MAX_CELLS: Final = 64
MAX_MONTHS: Final = 128
EVERY_PLACED: Final = "placed"
"""The list of all items with coordinates."""


class Order(Enum):
    """The order of a library's page. The value is the public name."""

    NEWEST_TAKEN = "-taken_at"
    OLDEST_TAKEN = "taken_at"
    NEWEST_UPLOADED = "-created_at"
    OLDEST_UPLOADED = "created_at"

    @property
    def column(self) -> str:
        return self.value.removeprefix("-")

    @property
    def other_column(self) -> str:
        """Returns the time column that the order does not sort by."""
        return "created_at" if self.column == "taken_at" else "taken_at"

    @property
    def descends(self) -> bool:
        return self.value.startswith("-")


class Position(NamedTuple):
    """The position of an item in an order; a page continues after it."""

    at: datetime
    item_id: UUID


class Box(NamedTuple):
    """A box in degrees. west > east: it crosses the 180th meridian."""

    west: float
    south: float
    east: float
    north: float


class Circle(NamedTuple):
    """A circle around a point, measured on the ground."""

    latitude: float
    longitude: float
    within_km: float

    @property
    def box(self) -> Box:
        """Returns the smallest box that contains the circle; around a pole it spans every longitude."""
        reach = self.within_km * 1.000001 / KM_PER_DEGREE  # rounding must not exclude the edge
        south, north = self.latitude - reach, self.latitude + reach
        if south <= -90 or north >= 90:
            return Box(-180.0, max(south, -90.0), 180.0, min(north, 90.0))
        sine = math.sin(math.radians(reach)) / math.cos(math.radians(self.latitude))
        across = math.degrees(math.asin(min(1.0, sine)))
        return Box(_wrapped(self.longitude - across), south, _wrapped(self.longitude + across), north)


class Span(NamedTuple):
    """The time from an instant, inclusive, to another, exclusive; None: without that end."""

    start: datetime | None = None
    end: datetime | None = None


ALWAYS: Final = Span()


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a search: items of one account that match all. tags, place, text: as written; they match
    folded.
    """

    owner_id: AccountId
    tags: tuple[str, ...] = ()
    place: str | None = None
    kind: Kind | None = None
    gallery_id: GalleryId | None = None
    taken: Span = ALWAYS
    uploaded: Span = ALWAYS
    text: str | None = None
    circle: Circle | None = None
    box: Box | None = None

    def span_of(self, column: str) -> Span:
        """Returns the span of a column. column: `taken_at` or `created_at`."""
        return self.taken if column == "taken_at" else self.uploaded

    @property
    def cells(self) -> tuple[str, ...]:
        """Returns the lists that contain all items with coordinates in the requested area; none without an
        area.
        """
        boxes = [*([self.circle.box] if self.circle else []), *([self.box] if self.box else [])]
        return min((cells_over(box) for box in boxes), key=_fineness, default=())


def cells_over(box: Box) -> tuple[str, ...]:
    """Returns the smallest squares of which at most `MAX_CELLS` cover the box; for a larger box, the list of
    all items with coordinates.
    """
    for level, size in reversed(tuple(enumerate(CELL_SIZES_DEG, start=1))):
        rows = range(math.floor((box.south + 90) / size), math.floor((box.north + 90) / size) + 1)
        columns = tuple(_columns(box, size))
        if len(rows) * len(columns) <= MAX_CELLS:
            return tuple(f"cell:{level}:{row}:{column}" for row in rows for column in columns)
    return (EVERY_PLACED,)


def months_over(column: str, span: Span) -> tuple[str, ...]:
    """Returns the lists of the months, in UTC, that a span with two ends touches; none when they are too
    many.
    """
    if span.start is None or span.end is None:
        return ()
    first, last = _month(span.start), _month(span.end - timedelta(microseconds=1))
    if last - first >= MAX_MONTHS:
        return ()
    return tuple(f"{column}:{month}" for month in range(first, last + 1))


def _month(at: datetime) -> int:
    at = at.astimezone(UTC)
    return at.year * 12 + at.month


def _columns(box: Box, size: float) -> Iterator[int]:
    """Yields the numbers of the columns, counted from the 180th meridian around the world."""
    around = round(360 / size)
    first, last = math.floor((box.west + 180) / size), math.floor((box.east + 180) / size)
    if box.west > box.east:
        last += around
    for column in range(first, min(last, first + around - 1) + 1):
        yield column % around


def _fineness(cells: tuple[str, ...]) -> tuple[int, int]:
    """Returns a sorting key of covers: the finer squares first, then the fewer."""
    level = 0 if cells == (EVERY_PLACED,) else int(cells[0].split(":")[1])
    return -level, len(cells)


def _wrapped(longitude: float) -> float:
    return (longitude + 180) % 360 - 180
