"""The SHA-256 of stored objects: the store's own value where it has one, else computed from the bytes.

A completion with a declared checksum waits for the computation only as long as a request may take. A larger
file is accepted unread; the worker reads it before any viewer sees it.
"""

from __future__ import annotations

import asyncio
import hashlib

from kappi_chassis.storage import ObjectStore

INLINE_LIMIT_BYTES = 256 << 20
INLINE_TIMEOUT_S = 15.0


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
