"""The range of UTC days in the query of an operation that answers per day."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from kappi_chassis.problems import FieldError, ValidationFailed

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DayRange:
    """A range of days. first, last: both inclusive."""

    first: date
    last: date

    @classmethod
    def read(cls, first: str | None, last: str | None, *, now: datetime) -> DayRange:
        """Returns the range of the query's `from` and `to`, each `YYYY-MM-DD`.

        Without `to` it ends today; without `from` it is the thirty days up to `to`. Raises ValidationFailed
        for text that is not a day, for an end before the start, and for more than 366 days.
        """
        end = _day("to", last) if last is not None else now.date()
        start = _day("from", first) if first is not None else _thirty_days_until(end)
        if start > end:
            raise _refused("from", "after_to", "it is after `to`")
        if (end - start).days >= MAX_DAYS:
            raise _refused("from", "too_long", f"more than {MAX_DAYS} days before `to`")
        return cls(start, end)


def _thirty_days_until(end: date) -> date:
    span = timedelta(days=DEFAULT_DAYS - 1)
    return end - span if end - date.min >= span else date.min


def _day(field: str, text: str) -> date:
    # fromisoformat accepts other forms as well, such as 20260531.
    if _DAY.fullmatch(text) is not None:
        with suppress(ValueError):
            return date.fromisoformat(text)
    raise _refused(field, "invalid", "a day, as 2026-05-31")


def _refused(field: str, code: str, message: str) -> ValidationFailed:
    return ValidationFailed(
        f"Look at: {field}.", errors=(FieldError(field=field, code=code, message=message),)
    )
