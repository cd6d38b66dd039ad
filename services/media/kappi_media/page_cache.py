"""Pages kept as the bytes that go out, bounded by their size; each is built once for all who ask at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from kappi_media import metrics

ENTRY_OVERHEAD_BYTES = 400
"""Roughly what the key and the bookkeeping of one entry take."""


class PageCache:
    """Least recently used goes first. max_bytes: of all bodies together; 0 keeps nothing."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._building: dict[Hashable, asyncio.Task[bytes]] = {}

    def kept(self, key: Hashable) -> bytes | None:
        body = self._kept.get(key)
        if body is not None:
            self._kept.move_to_end(key)
        return body

    async def build(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `make` returns, kept. Whoever asks for a key that is being built waits for that build.

        A caller that leaves does not take the build from the others.
        """
        task = self._building.get(key)
        if task is None:
            task = asyncio.ensure_future(self._build(key, make))
            self._building[key] = task
            task.add_done_callback(lambda done: self._built(key, done))
        return await asyncio.shield(task)

    async def _build(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        body = await make()
        self._keep(key, body)
        return body

    def _built(self, key: Hashable, task: asyncio.Task[bytes]) -> None:
        del self._building[key]
        if not task.cancelled():
            task.exception()  # seen, even when every caller has left

    def _keep(self, key: Hashable, body: bytes) -> None:
        if len(body) + ENTRY_OVERHEAD_BYTES > self._max_bytes:
            return
        self._kept[key] = body
        self._bytes += len(body) + ENTRY_OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped) + ENTRY_OVERHEAD_BYTES
        metrics.VIEW_CACHE_BYTES.set(self._bytes)
