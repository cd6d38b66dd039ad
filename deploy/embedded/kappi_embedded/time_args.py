"""Parses times and durations from the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")


class BadMoment(ValueError):
    """The text is no time; the message shows the accepted forms."""


def parse_duration(text: str) -> timedelta:
    """Returns the duration in a text such as `90s`, `15m`, `36h`, `31d` or `2w`. Raises BadMoment."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise BadMoment(f"{text!r} is no length of time: write 90s, 15m, 36h, 31d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_moment(text: str, *, now: datetime) -> datetime:
    """Returns a time in UTC from an RFC 3339 time with its offset, or from a duration from now: `+31d`,
    `-2h`.

    Raises BadMoment.
    """
    text = text.strip()
    if text[:1] in {"+", "-"}:
        duration = parse_duration(text[1:])
        try:
            return now + duration if text[0] == "+" else now - duration
        except OverflowError as error:
            raise BadMoment(f"{text!r} is too far away: write a time between the years 1 and 9999") from error
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadMoment(
            f"{text!r} is no moment: write 2027-01-31T12:00:00Z, or +31d for 31 days from now"
        ) from error
    if moment.tzinfo is None:
        raise BadMoment(f"{text!r} lacks its offset: write {text}Z for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise BadMoment(f"{text!r} is too far away: write a time between the years 1 and 9999") from error
