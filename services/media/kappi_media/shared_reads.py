"""Reads a row once for many concurrent callers, and never answers with one that is older than the call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SPACING_S: Final = 0.005
"""Time from the start of a shared read until the next one of its key."""
ENOUGH: Final = 16
"""Callers for whom a read begins earlier: with as many at a time, reads are few compared with calls."""


class SharedReads(Generic[K, V]):
    """Runs one read of a key at a time, for all callers that wait for the next one.

    A read answers only calls that were made before it began, so nothing has to be invalidated. A caller alone
    reads at once, without a task. Where calls overlap, reads of the key begin at least `SPACING_S` apart, or
    when `ENOUGH` callers wait. So the rate of reads does not grow with that of calls. An entry lasts as long
    as its key has callers.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._turns: dict[K, _Turn[V]] = {}

    def __len__(self) -> int:
        return len(self._turns)

    async def __call__(self, key: K) -> V:
        """Returns the result of a read. Raises as it does."""
        turn = self._turns.get(key)
        if turn is not None:
            return await turn.answer()
        turn = self._turns[key] = _Turn()
        try:
            return await self._read(key)
        finally:
            # Also when this caller has left: the others need a read of their own.
            if turn.waiting:
                turn.task = asyncio.create_task(self._serve(key, turn), name="shared reads")
            else:
                del self._turns[key]

    async def _serve(self, key: K, turn: _Turn[V]) -> None:
        while turn.waiting:
            callers, turn.waiting = turn.waiting, []
            turn.full.clear()
            next_at = time.monotonic() + SPACING_S
            try:
                value = await self._read(key)
            except Exception as error:  # noqa: BLE001 - each caller raises it
                for caller in callers:
                    if not caller.done():
                        caller.set_exception(error)
            else:
                for caller in callers:
                    if not caller.done():
                        caller.set_result(value)
            await turn.until_enough(next_at - time.monotonic())
        del self._turns[key]


class _Turn(Generic[V]):
    """The callers that wait for the next read of a key."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[V]] = []
        self.full = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def answer(self) -> V:
        caller: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self.waiting.append(caller)
        if len(self.waiting) >= ENOUGH:
            self.full.set()
        return await caller

    async def until_enough(self, within_s: float) -> None:
        if self.full.is_set() or within_s <= 0:
            return
        try:
            async with asyncio.timeout(within_s):
                await self.full.wait()
        except TimeoutError:
            return
