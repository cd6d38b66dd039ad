"""Reads a row once for many concurrent callers, and never answers with one that is older than the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Runs one read of a key at a time, each for all callers that came before it began.

    So nothing has to be invalidated, and the rate of reads of a key is at most one after another, however
    many calls there are. A caller alone reads at once, without a task. An entry lasts as long as its key has
    callers.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def __call__(self, key: K) -> V:
        """Returns the result of a read. Raises as it does."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            caller: asyncio.Future[V] = asyncio.get_running_loop().create_future()
            waiting.append(caller)
            return await caller
        waiting = self._waiting[key] = []
        try:
            return await self._read(key)
        finally:
            # Also when this caller has left: the others need a read of their own.
            if waiting:
                task = asyncio.create_task(self._serve(key), name="shared reads")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                del self._waiting[key]

    async def _serve(self, key: K) -> None:
        while callers := self._waiting[key]:
            self._waiting[key] = []
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
        del self._waiting[key]
