from __future__ import annotations

from datetime import UTC, datetime

import pytest
from kappi_chassis.storage.http_ranges import (
    RangeNotSatisfiable,
    failed_condition,
    http_date,
    names_etag,
    range_counts,
    requested_range,
)

MODIFIED = datetime(1994, 11, 6, 8, 49, 37, 900_000, UTC)
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("header", "selected"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=3-", (3, 9)),
        ("bytes=3-99", (3, 9)),
        ("bytes=-4", (6, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
        ("lines=0-1", None),
        ("bytes=0-1-2", None),
    ],
)
def test_ranges_of_ten_bytes(header: str | None, selected: tuple[int, int] | None) -> None:
    assert requested_range(header, size_bytes=10) == selected


@pytest.mark.parametrize(
    ("header", "size_bytes"),
    [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)],
)
def test_ranges_beyond_the_body_are_refused(header: str, size_bytes: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        requested_range(header, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("header", "weak", "named"),
    [
        ('"abc"', False, True),
        ('"x", "abc"', False, True),
        ("*", False, True),
        ('W/"abc"', False, False),
        ('W/"abc"', True, True),
        ('"ab"', True, False),
        ("abc", True, False),
        ("", True, False),
    ],
)
def test_etags(header: str, weak: bool, named: bool) -> None:
    assert names_etag(header, "abc", weak=weak) is named


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"if-unmodified-since": EARLIER}, 412),
        ({"if-unmodified-since": SAME}, None),
        ({"if-unmodified-since": LATER}, None),
        ({"if-unmodified-since": "yesterday"}, None),
        ({"if-match": '"abc"', "if-unmodified-since": EARLIER}, None),
        ({"if-match": '"x"', "if-unmodified-since": LATER}, 412),
        ({"if-modified-since": EARLIER}, None),
        ({"if-modified-since": SAME}, 304),
        ({"if-modified-since": LATER}, 304),
        ({"if-modified-since": "yesterday"}, None),
        ({"if-none-match": '"abc"', "if-modified-since": EARLIER}, 304),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, None),
        ({"if-unmodified-since": EARLIER, "if-none-match": '"abc"'}, 412),
        ({"if-match": '"abc"', "if-modified-since": SAME}, 304),
    ],
)
def test_preconditions_are_checked_in_order(headers: dict[str, str], status: int | None) -> None:
    assert failed_condition(headers, etag="abc", last_modified=MODIFIED) == status


@pytest.mark.parametrize("name", ["if-unmodified-since", "if-modified-since"])
@pytest.mark.parametrize("date", [EARLIER, SAME, LATER])
def test_date_conditions_are_ignored_without_a_modification_date(name: str, date: str) -> None:
    assert failed_condition({name: date}, etag="abc", last_modified=None) is None


@pytest.mark.parametrize(
    ("if_range", "counts"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        (SAME, True),
        (EARLIER, False),
        (LATER, False),
        ("yesterday", False),
    ],
)
def test_a_range_under_a_condition(if_range: str | None, counts: bool) -> None:
    assert range_counts(if_range, etag="abc", last_modified=MODIFIED) is counts


@pytest.mark.parametrize(
    ("header", "date"),
    [
        (SAME, MODIFIED.replace(microsecond=0)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", MODIFIED.replace(microsecond=0)),
        ("Sun Nov  6 08:49:37 1994", MODIFIED.replace(microsecond=0)),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -0001", None),
        ("0", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_in_the_three_forms_of_http(header: str | None, date: datetime | None) -> None:
    assert http_date(header) == date
