"""A time limit that moves with every request sets hardly any timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from kappi_chassis.http.deadline import Deadline


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.cancelled = at, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop whose time the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def run_to(self, now: float) -> None:
        for timer in list(self.timers):
            if not timer.cancelled and timer.at <= now:
                self.now = timer.at
                timer.cancelled = True
                timer.callback()
        self.now = now


def deadline() -> tuple[Loop, Deadline, list[float]]:
    loop, reached = Loop(), []
    made = Deadline(cast("asyncio.AbstractEventLoop", loop), lambda: reached.append(loop.now))
    return loop, made, reached


def test_it_is_reached_once() -> None:
    loop, limit, reached = deadline()
    limit.move_to(10)
    loop.run_to(9)
    assert reached == []
    loop.run_to(30)
    assert reached == [10]
    assert not limit.is_set


def test_moving_it_on_sets_no_timer() -> None:
    loop, limit, reached = deadline()
    for second in range(9):
        loop.run_to(second)
        limit.move_to(10)
    assert len(loop.timers) == 1
    loop.run_to(10)
    assert (reached, len(loop.timers)) == ([], 2)
    loop.run_to(18)
    assert reached == [18]


def test_it_can_come_earlier() -> None:
    loop, limit, reached = deadline()
    limit.move_to(10)
    limit.move_to(2)
    loop.run_to(20)
    assert reached == [2]


def test_it_is_not_reached_when_it_was_cleared_or_has_ended() -> None:
    loop, limit, reached = deadline()
    limit.move_to(10)
    limit.clear()
    loop.run_to(20)
    limit.move_to(10)
    limit.end()
    loop.run_to(40)
    assert reached == []
