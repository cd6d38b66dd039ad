"""A bounded number of files that are received at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kappi_chassis.problems import Overloaded

PATIENCE_S = 10.0
"""How long a file waits for its turn."""


class Turns:
    """at_once: files being received; others wait, unread."""

    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Raises Overloaded when there is no place for a while."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._places.acquire()
        except TimeoutError as error:
            raise Overloaded("Too many files are being received.", retry_after_s=5) from error
        try:
            yield
        finally:
            self._places.release()
