"""The SHA-256 of stored objects: the store's own value where it has one, else computed from the bytes.

A completion with a declared checksum waits for the computation only as long as a request may take. A larger
file is accepted unread; the worker reads it before any viewer sees it.
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
    """The content does not have the declared SHA-256."""


async def sha256_of(store: ObjectStore, key: str) -> bytes:
    """Returns the SHA-256 of an object. Raises ObjectMissing, StorageUnavailable."""
    known = (await store.head(key)).sha256
    if known is not None:
        return known
    digest = hashlib.sha256()
    async for chunk in store.stream(key):
        await asyncio.to_thread(digest.update, chunk)
    return digest.digest()


async def sha256_in_time(store: ObjectStore, key: str, *, size_bytes: int) -> bytes | None:
    """As `sha256_of`; None when it would take longer than a request may wait."""
    if size_bytes > INLINE_LIMIT_BYTES:
        return (await store.head(key)).sha256
    try:
        async with asyncio.timeout(INLINE_TIMEOUT_S):
            return await sha256_of(store, key)
    except TimeoutError:
        return None


class LateChecksum:
    """Checks the uploads that were accepted before their SHA-256 was computed."""

    def __init__(self, queries: ChecksumQueries, *, store: ObjectStore) -> None:
        self._queries = queries
        self._store = store

    async def __call__(self, media_id: MediaId, key: str) -> None:
        """Check the SHA-256 of an item now; most items need no check. Doing it twice has the effect of once.

        Raises ChecksumWrong, ObjectMissing, StorageUnavailable.
        """
        declared = await self._queries.unverified(media_id)
        if declared is None:
            return
        if await sha256_of(self._store, key) != declared:
            raise ChecksumWrong
        await self._queries.verified(media_id, declared)
