"""Text, numbers, times and zones as cameras and programs write them in metadata.

Sources: EXIF 3.0; XMP specification part 2 (ISO 8601 dates); the Latin-1 of PNG and of IPTC without a
character set.
"""

from __future__ import annotations

import codecs
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

# Looked up on import: the first use of a codec opens a file, which a confined decoder may not do.
_WINDOWS_1252: Final = codecs.lookup("cp1252").decode
_MAX_TIME_CHARS: Final = 64
_ZONE: Final = r"Z|(?:UTC|GMT)?([+\-\u2212])(\d{1,2})(?::?(\d\d))?|UTC|GMT"
_TIME: Final = re.compile(
    r"(\d{4})[-:/.] ?(\d{1,2})[-:/.] ?(\d{1,2})"
    r"(?:[T ] ?(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:\s*(" + _ZONE + "))?)?",
    re.ASCII | re.IGNORECASE,
)
# ISO 8601 in its basic form, which IPTC uses.
_BASIC_TIME: Final = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?!\d)(?:[T ](?:(\d\d)(\d\d)(\d\d)|(\d\d):(\d\d):(\d\d))(?!\d))?", re.ASCII
)
# The time of the C library, which AVI has: "Mon Mar 10 15:04:43 2003".
_MONTH_FIRST_TIME: Final = re.compile(
    r"(?:[A-Z]{3},?\s+)?([A-Z]{3})\s+(\d{1,2})\s+(\d{1,2}):(\d\d):(\d\d)\s+(\d{4})", re.ASCII | re.IGNORECASE
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ONLY_ZONE: Final = re.compile(_ZONE, re.ASCII | re.IGNORECASE)
_WIDEST: Final = timedelta(hours=14)
_MAX_NAME_CHARS: Final = 128
_NUMBER: Final = re.compile(r"([+-]?\d{1,12}(?:\.\d{1,12})?)(?:/(\d{1,12}(?:\.\d{1,12})?))?", re.ASCII)


class WrittenTime(NamedTuple):
    """local: naive, by the clock of the writer. zone: None where it is not written."""

    local: datetime
    zone: timezone | None


def decoded(raw: bytes) -> str:
    """Returns a text in UTF-8, or else in Latin-1 as Windows extends it."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return str(_WINDOWS_1252(raw, "replace")[0])


def written_number(text: str | None) -> float | None:
    """Returns a number or the value of a fraction, or None, also for a fraction over zero."""
    match = _NUMBER.fullmatch((text or "").strip()[:_MAX_TIME_CHARS])
    if match is None:
        return None
    below = float(match.group(2) or 1)
    return float(match.group(1)) / below if below else None


def clean_name(name: str | None) -> str | None:
    """Returns at most 128 printable characters with single spaces, or None where none are left."""
    if name is None:
        return None
    kept = "".join(c if c.isprintable() else " " for c in name[: 4 * _MAX_NAME_CHARS])
    return " ".join(kept.split())[:_MAX_NAME_CHARS] or None


def written_time(text: str | None) -> WrittenTime | None:
    """Returns a date with or without its time, in the form of EXIF or ISO 8601, or None.

    A date alone is the start of its day. Text behind it is ignored.
    """
    match = _TIME.match(_extended((text or "")[:_MAX_TIME_CHARS].strip()))
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3, 4, 5, 6))
    microsecond = int((match.group(7) or "")[:6].ljust(6, "0"))
    try:
        local = datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - the zone is beside it
    except ValueError:
        return None
    return WrittenTime(local, written_zone(match.group(8)))


def month_first_time(text: str | None) -> WrittenTime | None:
    """Returns a time in the form of the C library, or None."""
    match = _MONTH_FIRST_TIME.match((text or "")[:_MAX_TIME_CHARS].strip())
    if match is None or match.group(1).lower() not in _MONTHS:
        return None
    day, hour, minute, second, year = (int(part) for part in match.group(2, 3, 4, 5, 6))
    month = 1 + _MONTHS.index(match.group(1).lower())
    try:
        local = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - it has no zone
    except ValueError:
        return None
    return WrittenTime(local, None)


def _extended(text: str) -> str:
    """Returns the text with separators, where it is in the basic form."""
    match = _BASIC_TIME.match(text)
    if match is None:
        return text
    date, clock = match.group(1, 2, 3), [part for part in match.groups()[3:] if part]
    return "-".join(date) + ("T" + ":".join(clock) if clock else "") + text[match.end() :]


def written_zone(text: str | None) -> timezone | None:
    """Returns an offset with or without its colon and its minutes, or UTC by name, or None."""
    match = _ONLY_ZONE.fullmatch((text or "")[:_MAX_TIME_CHARS].strip())
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    distance = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if distance > _WIDEST or int(minutes or 0) >= 60:
        return None
    return timezone(distance if sign == "+" else -distance) if distance else UTC
