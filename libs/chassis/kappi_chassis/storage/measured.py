"""An object store whose calls are measured: their time and their failures by operation."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager

from kappi_chassis.observability import metrics
from kappi_chassis.storage.contract import (
    DeleteReport,
    ObjectHead,
    ObjectPage,
    ObjectStore,
    RangedRead,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
)


class MeasuredStore:
    """Passes each call of `ObjectStore` on to another store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.check_room = store.check_room
        self.ready = store.ready
        self.close = store.close

    async def head(self, key: str) -> ObjectHead:
        with _measured("head"):
            return await self._store.head(key)

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        with _measured("read"):
            return await self._store.read(key, start=start, length=length)

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        stream = self._store.stream(key, start=start, length=length, chunk_bytes=chunk_bytes)
        async with aclosing(stream):
            with _measured("stream"):
                chunk = await anext(stream, None)
            while chunk is not None:
                yield chunk
                with _failures("stream"):
                    chunk = await anext(stream, None)

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        with _measured("put"):
            return await self._store.put(key, body, content_type=content_type)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        with _measured("put_stream"):
            return await self._store.put_stream(key, chunks, content_type=content_type, replace=replace)

    async def copy(self, source: str, target: str) -> ObjectHead:
        with _measured("copy"):
            return await self._store.copy(source, target)

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        with _measured("create_multipart"):
            return await self._store.create_multipart(
                key, content_type=content_type, part_size_bytes=part_size_bytes
            )

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        with _measured("list_parts"):
            return await self._store.list_parts(key, upload_id=upload_id)

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        with _measured("complete_multipart"):
            return await self._store.complete_multipart(key, upload_id=upload_id, parts=parts)

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        with _measured("abort_multipart"):
            await self._store.abort_multipart(key, upload_id=upload_id)

    async def tags(self, key: str) -> dict[str, str]:
        with _measured("tags"):
            return await self._store.tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        with _measured("set_tags"):
            await self._store.set_tags(key, tags)

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = 1000
    ) -> ObjectPage:
        with _measured("list_page"):
            return await self._store.list_page(prefix, token=token, after=after, limit=limit)

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        with _measured("delete_batch"):
            return await self._store.delete_batch(keys)

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        with _measured("delete_versions_page"):
            return await self._store.delete_versions_page(prefix)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        with _measured("abort_multipart_uploads"):
            return await self._store.abort_multipart_uploads(prefix)


@contextmanager
def _measured(operation: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        with _failures(operation):
            yield
    finally:
        metrics.STORE_CALL_SECONDS.labels(operation).observe(time.perf_counter() - began)


@contextmanager
def _failures(operation: str) -> Iterator[None]:
    try:
        yield
    except StorageFull:
        metrics.STORE_FAILURES.labels(operation, "full").inc()
        raise
    except StorageUnavailable:
        metrics.STORE_FAILURES.labels(operation, "unavailable").inc()
        raise
    except StorageRefused:
        metrics.STORE_FAILURES.labels(operation, "refused").inc()
        raise
