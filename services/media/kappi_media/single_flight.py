"""Runs a piece of work once for all concurrent callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs the work of each key once. A caller of a key that is under way waits for that result, or for its
    failure.
    """

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def __contains__(self, key: K) -> bool:
        return key in self._under_way

    async def __call__(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Returns the result of `make`. A caller that leaves does not cancel the work of the others."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(_awaited(make))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what is under way, and wait for it to end."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # retrieved, even when every caller has left


async def _awaited(make: Callable[[], Awaitable[V]]) -> V:
    return await make()
