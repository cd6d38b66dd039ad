"""Parses the query of a library search into filters."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Annotated, Final, Literal

from fastapi import Query
from kappi_chassis.pagination import cursor_query
from kappi_chassis.problems import FieldError, ValidationFailed

from kappi_media.domain.library import MAX_WITHIN_KM, Box, Circle, Order, Span

MAX_FILTER_TAGS: Final = 20
DEFAULT_WITHIN_KM: Final = 10.0
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d([.]\d{1,6})?)?([Zz]|[+-]\d\d:\d\d))?")

TagFilter = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=64)]],
    Query(
        alias="tag",
        max_length=MAX_FILTER_TAGS,
        description="A tag of the item; repeat it for items that have all of them. Case and accents do not "
        "matter",
    ),
]
LocationFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="The beginning of the place's name as it was given. Case and accents do not matter",
    ),
]
KindFilter = Annotated[Literal["image", "video"] | None, Query(description="The kind of the item")]
TextFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="At most 8 different words, each of which is in the file name, the caption or the tags, "
        "also inside of a word. Any script; case and accents do not matter. The first "
        "1,000 characters of a caption are searched, the first 1,000 of an item's tags together, and the "
        "first 255 of a file name",
    ),
]
NearFilter = Annotated[
    str | None,
    Query(
        max_length=60,
        description="`latitude,longitude` in degrees: items whose file contains a place at most `within_km` "
        "away",
        examples=["45.92,6.87"],
    ),
]
WithinFilter = Annotated[
    float | None,
    Query(gt=0, le=MAX_WITHIN_KM, description=f"Kilometres around `near`; {DEFAULT_WITHIN_KM:g} by default"),
]
BoxFilter = Annotated[
    str | None,
    Query(
        max_length=120,
        description="`west,south,east,north` in degrees: items whose file contains a place in it. A west "
        "greater than the east crosses the 180th meridian",
        examples=["6.5,45.7,7.2,46.1"],
    ),
]
SortChoice = Annotated[
    Order | None,
    Query(
        description="By the time it was taken (uploaded, if the file does not say) or was uploaded; "
        "`-` for the latest first. By default `-taken_at`, with only `uploaded_…` given `-created_at`",
    ),
]
CursorChoice = Annotated[str | None, cursor_query(max_length=500)]
# It contains a folded tag or place, which is longer than the written one.
NameCursorChoice = Annotated[
    str | None, Query(max_length=4000, description="`next_cursor` of the page before")
]


def span_of(name: str, start: str | None, end: str | None) -> Span:
    """Returns the span. name: of the two parameters, without `_from` and `_to`. Raises ValidationFailed."""
    return Span(_instant(f"{name}_from", start), _instant(f"{name}_to", end))


def circle_of(near: str | None, within_km: float | None) -> Circle | None:
    """Returns the circle; None without `near`. Raises ValidationFailed."""
    if near is None:
        if within_km is not None:
            raise _invalid("within_km", "needs near")
        return None
    latitude, longitude = _numbers("near", near, ("latitude", "longitude"))
    _check_degrees("near", latitudes=(latitude,), longitudes=(longitude,))
    return Circle(latitude, longitude, within_km or DEFAULT_WITHIN_KM)


def box_of(bbox: str | None) -> Box | None:
    """Returns the box; None without `bbox`. Raises ValidationFailed."""
    if bbox is None:
        return None
    box = Box(*_numbers("bbox", bbox, Box._fields))
    _check_degrees("bbox", latitudes=(box.south, box.north), longitudes=(box.west, box.east))
    if box.south > box.north:
        raise _invalid("bbox", "south is north of north")
    return box


def refuse_nul(**texts: str | Sequence[str] | None) -> None:
    """Raises ValidationFailed for a text with NUL, which PostgreSQL cannot hold."""
    for name, value in texts.items():
        if value and any("\x00" in one for one in ([value] if isinstance(value, str) else value)):
            raise _invalid(name, "may not hold the character U+0000")


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    if _INSTANT.fullmatch(text):
        with suppress(ValueError, OverflowError):
            if len(text) == len("2026-04-01"):
                return datetime.combine(date.fromisoformat(text), time(), UTC)
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    raise _invalid(name, "an RFC 3339 time, as 2026-04-01T08:00:00Z, or a date, which begins in UTC")


def _numbers(name: str, text: str, parts: Sequence[str]) -> list[float]:
    with suppress(ValueError):
        numbers = [float(part) for part in text.split(",")]
        if len(numbers) == len(parts) and all(map(math.isfinite, numbers)):
            return numbers
    raise _invalid(name, f"numbers: {','.join(parts)}")


def _check_degrees(name: str, *, latitudes: Sequence[float], longitudes: Sequence[float]) -> None:
    if any(abs(one) > 90 for one in latitudes) or any(abs(one) > 180 for one in longitudes):
        raise _invalid(name, "latitudes go from -90 to 90, longitudes from -180 to 180")


def _invalid(name: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"Look at: {name}.", errors=(FieldError(field=name, code="invalid", message=message),)
    )
