"""The number of parts that are sent at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal

Connection = Literal["slow", "normal", "fast"]
"""How good the network connection is, as `connection` of the API."""

MOST_PARTS: Final[dict[Connection, int]] = {"slow": 1, "normal": 4, "fast": 8}
_ARRIVALS_AFTER_CUT: Final = 8


class PartSlots:
    """Slots for requests to the object store, in order of arrival.

    limit: slots at the moment. It starts at one and grows by one after `limit` parts arrived, up to `most`. A
    cut sets it back to one, since all parts that are cut together are sent again; then it grows after eight
    parts in a row, and stays below the number that was cut. has_been_cut: from then on each part gets a new
    connection, since many networks cut connections by age.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = 1
        self.has_been_cut = False
        self._arrived_in_row = 0
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Held while the body of one request is sent."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._busy -= 1
                self._admit()

    def arrived(self) -> None:
        """The store has acknowledged a part."""
        self._arrived_in_row += 1
        wanted = _ARRIVALS_AFTER_CUT if self.has_been_cut else self.limit
        if self._arrived_in_row >= wanted and self.limit < self.most:
            self.limit += 1
            self._arrived_in_row = 0

    def cut(self) -> None:
        """The connection of a part was lost."""
        if self.limit > 1:
            self.most = self.limit - 1
        self.limit = 1
        self._arrived_in_row = 0
        self.has_been_cut = True

    def _admit(self) -> None:
        while self._waiting and self._busy < self.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._busy += 1
