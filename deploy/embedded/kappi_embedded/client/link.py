"""The link to the store as all parts share it: whose turn it is, when it broke, how long to hope."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kappi_embedded.client.api import ATTEMPTS, Unreachable
from kappi_embedded.client.pace import Pace
from kappi_embedded.client.rhythm import Rhythm

PATIENCE_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0


class Link:
    """patience_s: how long, from a first failure on, nothing may get through before hope is given up.

    clock: monotonic seconds.
    """

    def __init__(self, pace: Pace, *, clock: Callable[[], float], timeout_s: float = PATIENCE_S) -> None:
        self.pace = pace
        self._clock = clock
        self._timeout_s = timeout_s
        self._busy = 0
        self._rhythm = Rhythm()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._silent_since: float | None = None
        self._refused_since: float | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Pace]:
        """Held while one request's body is on its way; first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
            await asyncio.sleep(self._rhythm.hold_s(self._clock(), expected_s=self.pace.part_s))
            yield self.pace
        finally:
            if not turn.cancelled():
                self._busy -= 1
                self._admit()

    def _admit(self) -> None:
        while self._waiting and self._busy < self.pace.width:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._busy += 1

    def moved(self) -> None:
        """Bytes get through, whatever becomes of their part: it may take longer than patience lasts."""
        self._silent_since = None

    def arrived(self, *, size_bytes: int, seconds: float) -> None:
        now = self._clock()
        self._silent_since = self._refused_since = None
        self._rhythm.arrived(now - seconds, now)
        self.pace.arrived(size_bytes=size_bytes, seconds=seconds)

    def broke(self, *, after_s: float) -> None:
        self._rhythm.cut(self._clock())
        self.pace.broke(after_s=after_s)

    def lost(self) -> None:
        """Bytes got through and a cut came before their answer: nobody knows that it would have been no."""
        self._refused_since = None

    async def pause_unanswered(self, attempt: int, *, reason: str) -> None:
        """Before the next attempt, of a request that got no answer.

        Raises Unreachable, when nothing has got through for too long.
        """
        now = self._clock()
        self._silent_since = now if self._silent_since is None else self._silent_since
        if (silent_s := now - self._silent_since) > self._timeout_s:
            raise Unreachable(f"nothing reached the object store for {silent_s:.0f} seconds: {reason}")
        await self._pause(attempt)

    async def pause_refused(self, attempt: int, *, reason: str) -> None:
        """Before the next attempt, of a request whose answer was no.

        Raises Unreachable, when the store has taken nothing for too long. A slow part's second no may come
        after patience has ended: one that was asked few times is asked again.
        """
        self._silent_since = None
        now = self._clock()
        self._refused_since = now if self._refused_since is None else self._refused_since
        refused_s = now - self._refused_since
        if refused_s > self._timeout_s and attempt >= ATTEMPTS:
            raise Unreachable(f"the object store took nothing for {refused_s:.0f} seconds: {reason}")
        await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        """Longer with each, by different times for different parts."""
        longest_s = min(_FIRST_PAUSE_S * 2 ** min(attempt - 1, 10), _LONGEST_PAUSE_S)
        await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
