"""SHA-256 of what lies in the store: as the store knows it, else by reading all of it.

A client that declared one waits for that only as long as a request may take. What is larger is accepted
unread, and read by the worker before anybody sees it.
"""

from __future__ import annotations

import asyncio
import hashlib

from kappi_chassis.storage import ObjectStore

from kappi_media.domain.media import MediaId
from kappi_media.repository.checksums import ChecksumQueries

INLINE_LIMIT_BYTES = 256 << 20
INLINE_TIMEOUT_S = 15.0


class ChecksumWrong(Exception):
    """The content is not what its uploader said it is."""


async def sha256_of(store: ObjectStore, key: str) -> bytes:
    """Raises ObjectMissing, StorageUnavailable."""
    known = (await store.head(key)).sha256
    if known is not None:
        return known
    digest = hashlib.sha256()
    async for chunk in store.stream(key):
        await asyncio.to_thread(digest.update, chunk)
    return digest.digest()


async def sha256_in_time(store: ObjectStore, key: str, *, size_bytes: int) -> bytes | None:
    """As `sha256_of`; None where it would keep a request waiting too long."""
    if size_bytes > INLINE_LIMIT_BYTES:
        return (await store.head(key)).sha256
    try:
        async with asyncio.timeout(INLINE_TIMEOUT_S):
            return await sha256_of(store, key)
    except TimeoutError:
        return None


class LateChecksum:
    """What was accepted before its SHA-256 could be looked at."""

    def __init__(self, queries: ChecksumQueries, *, store: ObjectStore) -> None:
        self._queries = queries
        self._store = store

    async def __call__(self, media_id: MediaId, key: str) -> None:
        """Look at it now; nothing to do for most. Doing it twice is the same as once.

        Raises ChecksumWrong, ObjectMissing, StorageUnavailable.
        """
        declared = await self._queries.unverified(media_id)
        if declared is None:
            return
        if await sha256_of(self._store, key) != declared:
            raise ChecksumWrong
        await self._queries.verified(media_id, declared)
