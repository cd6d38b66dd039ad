from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kappi_janitor.domain import bucket_of, next_sweep, retry_pause

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
moments = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_a_turn_begins_on_the_hour_and_includes_its_start() -> None:
    turn = bucket_of(NOON + 59 * MINUTE, every=HOUR)
    assert (turn.starts_at, turn.ends_at) == (NOON, NOON + HOUR)
    assert bucket_of(NOON, every=HOUR) == turn
    assert bucket_of(NOON + HOUR, every=HOUR).number == turn.number + 1


@given(now=moments, every=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=7)))
def test_every_moment_is_in_exactly_one_turn(now: datetime, every: timedelta) -> None:
    turn = bucket_of(now, every=every)
    assert turn.starts_at <= now < turn.ends_at
    assert turn.ends_at - turn.starts_at == every
    assert bucket_of(turn.ends_at, every=every).number == turn.number + 1


@pytest.mark.parametrize(
    ("began_after", "next_after"),
    [
        (timedelta(0), 20 * MINUTE),
        (19 * MINUTE, 20 * MINUTE),
        # A look exactly then may have missed what landed at that very moment.
        (20 * MINUTE, 24 * HOUR),
        (21 * MINUTE, 24 * HOUR),
        (25 * HOUR, None),
    ],
)
def test_a_prefix_is_looked_at_again_until_nothing_can_land(
    began_after: timedelta, next_after: timedelta | None
) -> None:
    found = next_sweep(requested_at=NOON, began_at=NOON + began_after, delays=(20 * MINUTE, 24 * HOUR))
    assert found == (None if next_after is None else NOON + next_after)


@pytest.mark.parametrize(
    ("began_after", "next_after"),
    [(2 * HOUR, 24 * HOUR), (24 * HOUR, None), (7 * 24 * HOUR, None)],
)
def test_a_first_look_that_is_due_late_leaves_out_the_looks_before_it(
    began_after: timedelta, next_after: timedelta | None
) -> None:
    found = next_sweep(requested_at=NOON, began_at=NOON + began_after, delays=(20 * MINUTE, 24 * HOUR))
    assert found == (None if next_after is None else NOON + next_after)


def test_without_delays_one_look_is_all() -> None:
    assert next_sweep(requested_at=NOON, began_at=NOON, delays=()) is None


def test_pauses_double_up_to_the_longest() -> None:
    longest = timedelta(seconds=60)
    pauses = [retry_pause(n, longest=longest, jitter=1.0).total_seconds() for n in range(1, 9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retry_pause(1, longest=longest, jitter=0.0).total_seconds() == 0.5
    assert retry_pause(10_000, longest=longest, jitter=1.0) == longest
