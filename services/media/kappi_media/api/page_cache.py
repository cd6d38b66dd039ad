"""Caches pages as encoded bytes, bounded by their total size. Concurrent requests for a page build it
once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from kappi_media import metrics
from kappi_media.single_flight import SingleFlight

ENTRY_OVERHEAD_BYTES = 400
"""The approximate size of the key and the bookkeeping of one entry."""


class PageCache:
    """Drops the least recently used page first. max_bytes: of all bodies together; 0 caches nothing."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._building: SingleFlight[Hashable, bytes] = SingleFlight()

    def kept(self, key: Hashable) -> bytes | None:
        body = self._kept.get(key)
        if body is not None:
            self._kept.move_to_end(key)
        return body

    async def build(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Returns the result of `make`, and caches it. A request for a key that is being built waits for that
        build.
        """
        return await self._building(key, lambda: self._build(key, make))

    async def _build(self, key: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        body = await make()
        self._keep(key, body)
        return body

    def _keep(self, key: Hashable, body: bytes) -> None:
        if len(body) + ENTRY_OVERHEAD_BYTES > self._max_bytes:
            return
        self._kept[key] = body
        self._bytes += len(body) + ENTRY_OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped) + ENTRY_OVERHEAD_BYTES
        metrics.VIEW_CACHE_BYTES.set(self._bytes)
