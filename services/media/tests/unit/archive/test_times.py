from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_media.archive.times import EntryTime, entry_time

UPLOADED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
TAKEN = datetime(2020, 12, 31, 23, 30, 9, tzinfo=UTC)


def told(
    taken_at: datetime | None = TAKEN,
    offset_minutes: int | None = None,
    kind: Literal["image", "video"] = "image",
    created_at: datetime = UPLOADED,
) -> tuple[str, int | None]:
    time = entry_time(taken_at=taken_at, offset_minutes=offset_minutes, kind=kind, created_at=created_at)
    return shown(time), time.instant


def shown(time: EntryTime) -> str:
    date, clock = time.dos >> 16, time.dos & 0xFFFF
    return (
        f"{(date >> 9) + 1980}-{date >> 5 & 15:02}-{date & 31:02} "
        f"{clock >> 11:02}:{clock >> 5 & 63:02}:{(clock & 31) * 2:02}"
    )


def test_where_the_zone_is_known_it_is_the_local_time_and_the_instant() -> None:
    assert told(offset_minutes=120) == ("2021-01-01 01:30:08", int(TAKEN.timestamp()))
    assert told(offset_minutes=-570) == ("2020-12-31 14:00:08", int(TAKEN.timestamp()))


def test_a_picture_without_zone_has_its_cameras_clock_and_no_instant() -> None:
    assert told() == ("2020-12-31 23:30:08", None)


def test_a_film_without_zone_has_utc() -> None:
    assert told(kind="video") == ("2020-12-31 23:30:08", int(TAKEN.timestamp()))


def test_without_any_time_it_is_the_uploads() -> None:
    assert told(taken_at=None) == ("2026-03-04 05:06:06", int(UPLOADED.timestamp()))


@pytest.mark.parametrize(
    ("taken_at", "clock"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "1980-01-01 00:00:00"),
        (datetime(9999, 12, 31, tzinfo=UTC), "2107-12-31 23:59:58"),
    ],
)
def test_times_that_zip_cannot_tell_are_the_nearest_it_can(taken_at: datetime, clock: str) -> None:
    assert told(taken_at)[0] == clock


def test_an_instant_beyond_32_bits_is_left_out() -> None:
    assert told(datetime(2040, 1, 1, tzinfo=UTC), 0) == ("2040-01-01 00:00:00", None)


@given(st.datetimes(timezones=st.just(UTC)), st.none() | st.integers(-14 * 60, 14 * 60))
def test_any_time_has_a_place(taken_at: datetime, offset_minutes: int | None) -> None:
    time = entry_time(taken_at=taken_at, offset_minutes=offset_minutes, kind="image", created_at=UPLOADED)

    assert 0 <= time.dos < 1 << 32
    assert time.instant is None or abs(taken_at.timestamp() - time.instant) <= timedelta(seconds=1).seconds
