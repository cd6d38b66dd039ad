"""A limited number of places, of which the next goes to the party that holds, and used, the least."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kappi_media import metrics
from kappi_media.domain.shares import DecoderBudget, Party, Share

SPARE: Final = 1
"""The number of places beyond `places`, for a share that holds none, so that it does not wait for the end of
long work.
"""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A waiting caller. admitted: whether its place counts as one of work above its budget."""

    share: Share
    admitted: asyncio.Future[bool]


class FairPlaces:
    """Limits the places that are held to `places` and a spare one. Work above its budget comes after all
    other work and leaves one of several places free.
    """

    def __init__(self, places: int, *, budget: DecoderBudget) -> None:
        self._places = places
        self._late_places = max(1, places - 1)
        self._budget = budget
        self._held: Counter[Party] = Counter()
        self._total = 0
        self._late = 0
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def held(self, share: Share) -> AsyncIterator[None]:
        """Waits for a place, and holds it while the body runs."""
        late = await self._admission(share)
        try:
            yield
        finally:
            self._leave(share, late=late)

    async def _admission(self, share: Share) -> bool:
        waiter = _Waiter(share, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        metrics.DECODERS_WAITED_FOR.inc()
        self._admit()
        try:
            return await waiter.admitted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:  # just admitted
                self._leave(share, late=waiter.admitted.result())
            raise
        finally:
            metrics.DECODERS_WAITED_FOR.dec()

    def _admit(self) -> None:
        """Admit all waiting callers for which there is room."""
        while True:
            ready = [waiter for waiter in self._waiting if self._has_room_for(waiter)]
            if not ready:
                return
            waiter = min(ready, key=self._turn)  # the first of several equal ones
            late = self._budget.is_exceeded(waiter.share)
            self._waiting.remove(waiter)
            self._total += 1
            self._late += late
            metrics.DECODES_BEYOND_BUDGET.inc(late)
            self._held.update(waiter.share.parties)
            waiter.admitted.set_result(late)

    def _has_room_for(self, waiter: _Waiter) -> bool:
        if waiter.admitted.done():  # its caller was cancelled, and has not removed it yet
            return False
        if self._budget.is_exceeded(waiter.share):
            return self._total < self._places and self._late < self._late_places
        return self._total < self._places + (0 if self._held_by(waiter.share) else SPARE)

    def _turn(self, waiter: _Waiter) -> tuple[bool, int, float, float]:
        late = self._budget.is_exceeded(waiter.share)
        return (late, self._held_by(waiter.share), *self._budget.spent(waiter.share))

    def _held_by(self, share: Share) -> int:
        return max(self._held[party] for party in share.parties)

    def _leave(self, share: Share, *, late: bool) -> None:
        self._total -= 1
        self._late -= late
        self._held.subtract(share.parties)
        self._held += Counter()  # removes parties without a place
        self._admit()
