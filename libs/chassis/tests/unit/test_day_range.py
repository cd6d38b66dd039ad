from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from kappi_chassis.day_range import DayRange
from kappi_chassis.problems import ValidationFailed

NOW = datetime(2026, 5, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (date(2026, 5, 2), date(2026, 5, 31))),
        ("2026-05-31", None, (date(2026, 5, 31), date(2026, 5, 31))),
        (None, "2026-01-30", (date(2026, 1, 1), date(2026, 1, 30))),
        ("2024-01-01", "2024-12-31", (date(2024, 1, 1), date(2024, 12, 31))),
        (None, "0001-01-05", (date(1, 1, 1), date(1, 1, 5))),
    ],
)
def test_a_valid_range_is_read(first: str | None, last: str | None, expected: tuple[date, date]) -> None:
    found = DayRange.read(first, last, now=NOW)
    assert (found.first, found.last) == expected


@pytest.mark.parametrize(
    ("first", "last", "field", "code"),
    [
        ("yesterday", None, "from", "invalid"),
        ("2026-02-30", None, "from", "invalid"),
        (None, "20260531", "to", "invalid"),
        (None, "2026-W22-7", "to", "invalid"),
        ("", None, "from", "invalid"),
        ("٢٠٢٦-01-01", None, "from", "invalid"),
        ("2026-06-01", None, "from", "after_to"),
        ("2025-05-30", "2026-05-31", "from", "too_long"),
    ],
)
def test_an_invalid_range_is_refused(first: str | None, last: str | None, field: str, code: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        DayRange.read(first, last, now=NOW)
    assert [(error.field, error.code) for error in refused.value.errors] == [(field, code)]
