"""The local store: `ObjectStore` on a folder, durable and crash-safe, for one machine. ADR-0005."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Literal, TypeVar

from kappi_chassis.storage.blocking_pool import BlockingPool
from kappi_chassis.storage.content_type import header_content_type
from kappi_chassis.storage.contract import (
    DeleteReport,
    ObjectHead,
    ObjectPage,
    RangedRead,
    StorageRefused,
    StoredPart,
)
from kappi_chassis.storage.local_files import ObjectTree, ObjectWriter, OpenObject
from kappi_chassis.storage.local_folders import translated_os_errors
from kappi_chassis.storage.local_listing import keys_under, objects_under
from kappi_chassis.storage.local_multipart import MultipartTree
from kappi_chassis.storage.local_signing import PartBinding
from kappi_chassis.storage.local_space import LocalSpace, SpaceReservation
from kappi_chassis.storage.local_tombstones import ObjectDeleted, Tombstones
from kappi_chassis.storage.rechunk import rechunk
from kappi_chassis.storage.tag_rules import checked_tags

T = TypeVar("T")

MAX_BATCH = 1000
_CALL_TIMEOUT_S = 30.0
# Copying a large file, and joining its parts, copies all of its bytes on most file systems.
_JOIN_TIMEOUT_S = 600.0
_JOIN_THREADS = 4
_WRITE_BYTES = 1 << 20
_PART_CONTENT_TYPE = "application/octet-stream"
_STALE_AFTER = timedelta(hours=24)
_STALE_MULTIPART_AFTER = timedelta(days=14)
"""The time since its last part after which an upload is removed. Services abort what they gave up; this
removes uploads that no service has recorded.
"""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LocalObjectStore:
    """See `ObjectStore`. Several processes may share one folder."""

    def __init__(
        self,
        root: Path,
        *,
        threads: int = 8,
        refuses_deleted_for: timedelta = timedelta(hours=1),
        now: Callable[[], datetime] = _utc_now,
        space: LocalSpace | None = None,
    ) -> None:
        """Opens the store. root: created when missing. refuses_deleted_for: the least time for which a signed
        upload of a deleted key is refused.

        now: UTC, decides the age of an abandoned write or a deletion. space: given for a different reserve.
        """
        self._space = space or LocalSpace(root)
        self._tombstones = Tombstones(root, kept_for=refuses_deleted_for, now=now)
        self._tree = ObjectTree(root)
        self._multiparts = MultipartTree(root, self._tree)
        self._pool = BlockingPool(name="local-store", threads=threads, timeout_s=_CALL_TIMEOUT_S)
        self._joins = BlockingPool(name="local-join", threads=_JOIN_THREADS, timeout_s=_JOIN_TIMEOUT_S)
        self._now = now

    async def check_room(self, size_bytes: int) -> None:
        """See `ObjectStore.check_room`."""
        if not self._space.is_fresh:
            await self.blocking(self._space.look)
        self._space.check(size_bytes)

    async def head(self, key: str) -> ObjectHead:
        """See `ObjectStore.head`."""
        return await self.blocking(lambda: self._tree.head(key))

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        """See `ObjectStore.read`."""
        if start < 0 or length < 1:
            raise ValueError("A range begins at 0 or later and holds at least one byte")
        return await self.blocking(lambda: self._read(key, start, length))

    def _read(self, key: str, start: int, length: int) -> RangedRead:
        opened = self._tree.open(key)
        try:
            return RangedRead(head=opened.head, body=opened.read_at(start, length))
        finally:
            opened.close()

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        """See `ObjectStore.stream`."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("A range begins at 0 or later and is not shorter than nothing")
        opened = await self.open(key)
        offset = start
        end = opened.head.size_bytes if length is None else start + length
        try:
            while chunk := await self.read_open(opened, offset=offset, length=min(chunk_bytes, end - offset)):
                yield chunk
                offset += len(chunk)
        finally:
            opened.close()

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        """See `ObjectStore.put`."""
        return await self.blocking(lambda: self._put(key, body, content_type))

    def _put(self, key: str, body: bytes, content_type: str) -> ObjectHead:
        writer = self._writer(key, content_type, self._space.reserve(len(body), use="service"))
        try:
            writer.write(body)
            return writer.publish(replace=True)
        finally:
            writer.discard()

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        """See `ObjectStore.put_stream`."""
        writer = await self.blocking(
            lambda: self._writer(key, content_type, self._space.reserve(0, use="service"))
        )
        try:
            async with aclosing(rechunk(chunks, size_of=lambda _: _WRITE_BYTES)) as pieces:
                async for piece in pieces:
                    await self.blocking(partial(writer.write, piece))
            return await self.blocking(partial(writer.publish, replace=replace))
        finally:
            await self.blocking(writer.discard)

    async def copy(self, source: str, target: str) -> ObjectHead:
        """See `ObjectStore.copy`. The copy has the ETag and SHA-256 of the source."""
        given_up = Event()
        try:
            return await self._joins.run(
                _translated, partial(self._copy, source, target, given_up=given_up.is_set)
            )
        finally:
            given_up.set()  # tells a thread that still copies to stop

    def _copy(self, source: str, target: str, *, given_up: Callable[[], bool]) -> ObjectHead:
        room = self._space.reserve(self._tree.head(source).size_bytes, use="service")
        try:
            return self._tree.copy(source, target, given_up=given_up)
        finally:
            room.release()

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        """See `ObjectStore.create_multipart`."""
        kept = _checked_content_type(content_type)
        return await self.blocking(
            lambda: self._multiparts.create(key, content_type=kept, part_size_bytes=part_size_bytes)
        )

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """See `ObjectStore.list_parts`."""
        return await self.blocking(lambda: self._multiparts.parts(key, upload_id=upload_id))

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        """See `ObjectStore.complete_multipart`. Parts may have any size here."""
        return await self._joins.run(_translated, partial(self._join, key, upload_id, parts))

    def _join(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> ObjectHead:
        # At most one part exists twice at a time.
        room = self._space.reserve(max((part.size_bytes for part in parts), default=0), use="service")
        try:
            return self._multiparts.complete(key, upload_id=upload_id, parts=parts)
        finally:
            room.release()

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        """See `ObjectStore.abort_multipart`."""
        await self.blocking(lambda: self._multiparts.abort(key, upload_id=upload_id))

    async def tags(self, key: str) -> dict[str, str]:
        """See `ObjectStore.tags`."""
        return await self.blocking(lambda: self._tree.tags(key))

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """See `ObjectStore.set_tags`."""
        kept = checked_tags(tags)
        await self.blocking(lambda: self._tree.set_tags(key, kept))

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = MAX_BATCH
    ) -> ObjectPage:
        """See `ObjectStore.list_page`. The token is the last key of the page before."""
        wanted = max(1, min(limit, MAX_BATCH))
        return await self.blocking(lambda: self._list_page(prefix, token or after, wanted))

    def _list_page(self, prefix: str, after: str | None, limit: int) -> ObjectPage:
        found = tuple(islice(objects_under(self._tree.objects, prefix, after=after), limit + 1))
        more = len(found) > limit
        page = found[:limit]
        return ObjectPage(objects=page, next_token=page[-1].key if more else None)

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """See `ObjectStore.delete_batch`."""
        wanted = dict.fromkeys(keys)
        if len(wanted) > MAX_BATCH:
            raise ValueError(f"At most {MAX_BATCH} keys a call")
        await self.blocking(lambda: self._tombstones.add_keys(wanted))
        return await self._delete(wanted)

    async def _delete(self, keys: Collection[str]) -> DeleteReport:
        failed = await self.blocking(lambda: self._tree.delete(keys))
        return DeleteReport(deleted=len(keys) - len(failed), failed=failed)

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """See `ObjectStore.delete_versions_page`. A folder keeps no versions."""
        return await self.blocking(lambda: self._delete_page(prefix))

    def _delete_page(self, prefix: str) -> DeleteReport:
        self._tombstones.add_prefix(prefix)
        keys = [*islice(keys_under(self._tree.objects, prefix), MAX_BATCH)]
        failed = self._tree.delete(keys)
        return DeleteReport(deleted=len(keys) - len(failed), failed=failed)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        """See `ObjectStore.abort_multipart_uploads`."""
        return await self.blocking(lambda: self._multiparts.abort_all(prefix))

    async def ready(self) -> None:
        """See `ObjectStore.ready`. It also removes what writers left that died."""
        now = self._now()
        await self.blocking(lambda: self._tree.prepare(stale_before=now - _STALE_AFTER))
        await self.blocking(lambda: self._multiparts.prepare(stale_before=now - _STALE_MULTIPART_AFTER))
        await self.blocking(self._tombstones.sweep)

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        await self._pool.close()
        await self._joins.close()

    # The methods below are for `local_server`, beyond the contract.

    async def open(self, key: str) -> OpenObject:
        """Returns an object opened for reading; the caller closes it. Raises ObjectMissing."""
        return await self.blocking(lambda: self._tree.open(key))

    async def read_open(self, opened: OpenObject, *, offset: int, length: int) -> bytes:
        """Returns at most `length` bytes of an open object."""
        return await self.blocking(lambda: opened.read_at(offset, length))

    async def exists(self, key: str) -> bool:
        """Returns whether there is an object, without opening it."""
        return await self.blocking(lambda: self._tree.exists(key))

    async def refuse_deleted(self, key: str) -> None:
        """Raises ObjectDeleted when the key was deleted recently."""
        if await self.blocking(lambda: self._tombstones.covers(key)):
            raise ObjectDeleted

    async def publish_upload(self, writer: ObjectWriter, key: str) -> ObjectHead:
        """Makes the written file the object.

        Raises ObjectExistsAlready; ObjectDeleted if deleted meanwhile.
        """
        return await self.blocking(lambda: self._publish_upload(writer, key))

    def _publish_upload(self, writer: ObjectWriter, key: str) -> ObjectHead:
        head = writer.publish(replace=False)
        # The check comes after the publication: a deletion is recorded before it is carried out, so one of
        # the two detects the other.
        if self._tombstones.covers(key):
            self._tree.delete([key])
            raise ObjectDeleted
        return head

    async def writer(self, key: str, *, content_type: str, size_bytes: int) -> ObjectWriter:
        """Returns a new object, invisible until published; its methods block, so they are called through
        `blocking`.

        size_bytes: of what will be written; room is reserved for it until the writer is discarded. Raises
        StorageFull, as its `write` does.
        """
        return await self.blocking(
            lambda: self._writer(key, content_type, self._space.reserve(size_bytes, use="upload"))
        )

    async def part_writer(
        self, key: str, part: PartBinding, *, hashed_by: Literal["sha256", "md5"]
    ) -> ObjectWriter:
        """As `writer`, for a part of an object. Raises MultipartMissing, too."""
        return await self.blocking(lambda: self._part_writer(key, part, hashed_by))

    async def expect_multipart(self, key: str, *, upload_id: str) -> None:
        """Raises MultipartMissing when no such upload of that key is under way."""
        await self.blocking(lambda: self._multiparts.check(key, upload_id))

    async def publish_part(self, writer: ObjectWriter, key: str, *, upload_id: str, number: int) -> str:
        """Makes the written file part `number`. Returns its ETag. Raises MultipartMissing."""
        place = partial(self._multiparts.place_part, key=key, upload_id=upload_id, number=number)
        return await self.blocking(lambda: writer.publish_to(place))

    async def blocking(self, call: Callable[[], T]) -> T:
        """Returns `call()`, run on one of the store's threads; its OSErrors become failures of the
        contract.
        """
        return await self._pool.run(_translated, call)

    async def look_at_space(self) -> LocalSpace:
        """Returns the free space and reserve as they are now, or were a second ago."""
        await self.blocking(self._space.look)
        return self._space

    def _writer(self, key: str, content_type: str, room: SpaceReservation) -> ObjectWriter:
        return ObjectWriter(self._tree, key, content_type=_checked_content_type(content_type), room=room)

    def _part_writer(self, key: str, part: PartBinding, hashed_by: Literal["sha256", "md5"]) -> ObjectWriter:
        room = self._space.reserve(part.size_bytes, use="upload")
        slot = self._multiparts.slot(
            key, upload_id=part.upload_id, number=part.number, size_bytes=part.size_bytes
        )
        return ObjectWriter(
            self._tree, key, content_type=_PART_CONTENT_TYPE, room=room, hashed_by=hashed_by, slot=slot
        )


def _translated(call: Callable[[], T]) -> T:
    with translated_os_errors():
        return call()


def _checked_content_type(content_type: str) -> str:
    try:
        return header_content_type(content_type)
    except ValueError as error:
        raise StorageRefused(str(error)) from error
