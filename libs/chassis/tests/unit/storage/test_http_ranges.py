from __future__ import annotations

import pytest
from kappi_chassis.storage.http_ranges import RangeNotSatisfiable, names_etag, requested_range


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
def test_ranges_of_nothing(header: str, size_bytes: int) -> None:
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
