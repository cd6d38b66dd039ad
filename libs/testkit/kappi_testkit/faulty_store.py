"""A store that fails when a test asks for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace

from kappi_chassis.storage import (
    DeleteReport,
    ObjectHead,
    ObjectPage,
    ObjectStore,
    RangedRead,
    StorageFull,
    StorageUnavailable,
    StoredPart,
)


class FaultyStore:
    """A real store in which a test switches failures on; it also counts calls.

    down: the store does not answer. no_room: uploads would be refused. full: writing fails.
    forgets_checksums: heads have no checksum.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.down = False
        self.no_room = False
        self.full = False
        self.forgets_checksums = False
        self.reads = 0
        self.streams = 0
        self.refusals = 0

    def _answer(self) -> None:
        if self.down:
            self.refusals += 1
            raise StorageUnavailable("down for a test")

    def _take(self) -> None:
        self._answer()
        if self.full:
            raise StorageFull("full for a test")

    def _seen(self, head: ObjectHead) -> ObjectHead:
        return replace(head, sha256=None) if self.forgets_checksums else head

    async def check_room(self, size_bytes: int) -> None:
        if self.no_room:
            raise StorageFull("no room for a test")
        await self._inner.check_room(size_bytes)

    async def head(self, key: str) -> ObjectHead:
        self._answer()
        return self._seen(await self._inner.head(key))

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        self._answer()
        self.reads += 1
        found = await self._inner.read(key, start=start, length=length)
        return RangedRead(head=self._seen(found.head), body=found.body)

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        self._answer()
        self.streams += 1
        async for chunk in self._inner.stream(key, start=start, length=length, chunk_bytes=chunk_bytes):
            yield chunk

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        self._take()
        return await self._inner.put(key, body, content_type=content_type)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        self._take()
        return await self._inner.put_stream(key, chunks, content_type=content_type, replace=replace)

    async def copy(self, source: str, target: str) -> ObjectHead:
        self._take()
        return self._seen(await self._inner.copy(source, target))

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        self._answer()
        return await self._inner.create_multipart(
            key, content_type=content_type, part_size_bytes=part_size_bytes
        )

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        self._answer()
        return await self._inner.list_parts(key, upload_id=upload_id)

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        self._take()
        return self._seen(await self._inner.complete_multipart(key, upload_id=upload_id, parts=parts))

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        self._answer()
        await self._inner.abort_multipart(key, upload_id=upload_id)

    async def tags(self, key: str) -> dict[str, str]:
        self._answer()
        return await self._inner.tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        self._answer()
        await self._inner.set_tags(key, tags)

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = 1000
    ) -> ObjectPage:
        return await self._inner.list_page(prefix, token=token, after=after, limit=limit)

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        return await self._inner.delete_batch(keys)

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        return await self._inner.delete_versions_page(prefix)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        return await self._inner.abort_multipart_uploads(prefix)

    async def ready(self) -> None:
        self._answer()
        await self._inner.ready()

    async def close(self) -> None:
        await self._inner.close()
