"""A time limit that is moved with every request and hardly ever reached."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `reached` when the time has come. Moving it costs no timer: one that fires early is set again."""

    __slots__ = ("_at", "_loop", "_reached", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, reached: Callable[[], None]) -> None:
        self._loop = loop
        self._reached = reached
        self._at = self._timer_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._at != math.inf

    def move_to(self, seconds: float) -> None:
        """Sets it to so many seconds from now."""
        self._at = at = self._loop.time() + seconds
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer(at)

    def clear(self) -> None:
        self._at = math.inf

    def end(self) -> None:
        """Clears it and drops the timer."""
        self._at = self._timer_at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, at: float) -> None:
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._at == math.inf:
            return
        if self._loop.time() < self._at:
            self._set_timer(self._at)
            return
        self._at = math.inf
        self._reached()
