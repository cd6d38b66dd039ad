"""Limits how many requests do one expensive thing at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kappi_chassis.problems import Overloaded


class Turns:
    """at_once: number of requests that have a turn; others wait for one.

    timeout_s: seconds that a request waits. refusal: detail of the problem after that. retry_after_s: as in
    the header.
    """

    def __init__(self, at_once: int, *, timeout_s: float, refusal: str, retry_after_s: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._timeout_s = timeout_s
        self._refusal = refusal
        self._retry_after_s = retry_after_s

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Raises Overloaded if no turn is free in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise Overloaded(self._refusal, retry_after_s=self._retry_after_s) from error
        try:
            yield
        finally:
            self._places.release()
