"""Reads an original in the store by ranges."""

from __future__ import annotations

from kappi_chassis.storage import ObjectStore
from kappi_mediameta.probing.source import BLOCK_BYTES


class StoredSource:
    """A `RangedSource` over an object. Its first block is cached: sniffing and probing both begin there."""

    def __init__(self, store: ObjectStore, key: str, *, size_bytes: int) -> None:
        self._store = store
        self._key = key
        self._size_bytes = size_bytes
        self._first: bytes | None = None

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    async def read(self, start: int, length: int) -> bytes:
        """Returns the bytes of the range. Raises ObjectMissing, StorageUnavailable."""
        if start + length > BLOCK_BYTES:
            return (await self._store.read(self._key, start=start, length=length)).body
        if self._first is None:
            self._first = (await self._store.read(self._key, start=0, length=BLOCK_BYTES)).body
        return self._first[start : start + length]
