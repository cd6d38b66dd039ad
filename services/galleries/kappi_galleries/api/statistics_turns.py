"""A bounded number of statistics that are read at once, so that who asks for a grant never waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kappi_chassis.problems import Overloaded

AT_ONCE = 2
PATIENCE_S = 1.0
"""How long a read waits for its turn."""


class ReadingTurns:
    """Of one process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Raises Overloaded when there is no place for a while."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise Overloaded("Too many statistics are being read.", retry_after_s=1) from error
        try:
            yield
        finally:
            self._places.release()
