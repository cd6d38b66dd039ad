from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from kappi_chassis.time_left import UNCHANGED_S, seconds_left, with_seconds_left

NOW = datetime(2026, 6, 1, 10, tzinfo=UTC)
ANSWER = b'{"id":1,"expires_at":"2026-06-01T10:05:00Z","expires_in":300}'


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (timedelta(seconds=300), 300),
        (timedelta(seconds=299, milliseconds=999), 299),
        (timedelta(0), 0),
        (timedelta(days=-1), 0),
    ],
)
def test_the_time_left_is_in_whole_seconds_and_never_negative(left: timedelta, seconds: int) -> None:
    assert seconds_left(NOW + left, now=NOW) == seconds


@pytest.mark.parametrize(
    ("age_s", "shown"),
    [
        (UNCHANGED_S, ANSWER),
        (UNCHANGED_S + 1, b'{"id":1,"expires_at":"2026-06-01T10:05:00Z","expires_in":289}'),
        (301, b'{"id":1,"expires_at":"2026-06-01T10:05:00Z","expires_in":0}'),
    ],
)
def test_a_repeated_answer_has_the_current_time_left(age_s: int, shown: bytes) -> None:
    assert with_seconds_left(ANSWER, now=NOW + timedelta(seconds=age_s)) == shown


@pytest.mark.parametrize("answer", [b'{"expires_at":null,"expires_in":null}', b'{"id":1}', b'"text"', b"[1]"])
def test_other_answers_are_unchanged(answer: bytes) -> None:
    assert with_seconds_left(answer, now=NOW) == answer
