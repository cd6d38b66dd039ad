"""The number of dead letters after which a consumer stops."""

from __future__ import annotations

from datetime import timedelta

import pytest
from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit, TooManyDeadLetters


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_letters_of_a_window_are_limited() -> None:
    clock = Clock()
    limit = DeadLetterLimit(2, within=timedelta(minutes=1), monotonic=clock)
    limit.count()
    clock.now = 30
    limit.count()
    clock.now = 59
    with pytest.raises(TooManyDeadLetters, match="2 records became dead letters within 60 s"):
        limit.count()
    clock.now = 60
    limit.count()
    with pytest.raises(TooManyDeadLetters):
        limit.count()


def test_without_a_limit_any_number_is_allowed() -> None:
    limit = DeadLetterLimit(0, within=timedelta(minutes=1), monotonic=Clock())
    for _ in range(1_000):
        limit.count()
