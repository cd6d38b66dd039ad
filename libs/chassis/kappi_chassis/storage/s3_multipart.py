"""Multipart uploads on an S3, those of clients and Kappi's own."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import md5
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kappi_chassis.storage.contract import (
    MultipartMissing,
    ObjectExistsAlready,
    ObjectHead,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
)
from kappi_chassis.storage.part_numbers import MAX_PARTS
from kappi_chassis.storage.s3_client import S3Connection
from kappi_chassis.storage.s3_errors import is_unsupported

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Some stores notice a too long key only when all parts have arrived.
_MAX_KEY_BYTES = 1024
_PIECE_BYTES = 5 << 20  # the smallest that S3 accepts
_LARGE_PIECE_BYTES = 64 << 20
_LARGE_PIECES_FROM = 2_001
_COPIED_PARTS_AT_ONCE = 4
_MAX_TAGGING_CHARS = 128
"""The Versity gateway compares the number of encoded characters with the limit of a single name."""


def piece_size(number: int) -> int:
    """Returns the bytes of the n-th part of Kappi's own uploads: 5 MiB, and 64 MiB beyond the first 10 GiB.

    That reaches 509 GiB within the 10,000 parts that an object may have.
    """
    return _PIECE_BYTES if number < _LARGE_PIECES_FROM else _LARGE_PIECE_BYTES


class S3Multiparts:
    """See the operations of these names in `ObjectStore`; the missing part of them is in `S3ObjectStore`."""

    def __init__(self, connection: S3Connection) -> None:
        self._connection = connection
        self._bucket = connection.bucket
        self._joins_conditionally = True

    async def create(self, key: str, *, content_type: str, tagging: str = "") -> str:
        """Returns the store's id of a new upload. tagging: the object's tags, as `tagging_of` writes them."""
        if len(key.encode(errors="surrogatepass")) > _MAX_KEY_BYTES:
            raise StorageRefused(f"an object key is at most {_MAX_KEY_BYTES} bytes of UTF-8")

        tagged: Mapping[str, Any] = {"Tagging": tagging} if tagging else {}

        def work(client: S3Client) -> str:
            return client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type, **tagged
            )["UploadId"]

        return await self._connection.run(work)

    async def parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """See `ObjectStore.list_parts`."""
        return await self._connection.run(partial(self._parts, key=key, upload_id=upload_id))

    def _parts(self, client: S3Client, *, key: str, upload_id: str) -> tuple[StoredPart, ...]:
        found: dict[int, StoredPart] = {}
        marker: Mapping[str, Any] = {}
        while True:
            page = client.list_parts(Bucket=self._bucket, Key=key, UploadId=upload_id, **marker)
            for part in page.get("Parts", []):
                number = part["PartNumber"]
                # SeaweedFS lists a part that was sent twice as two entries, the newer one last.
                found[number] = StoredPart(
                    number=number, size_bytes=part["Size"], etag=part["ETag"].strip('"')
                )
            if not page.get("IsTruncated"):
                return tuple(found[number] for number in sorted(found))
            marker = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def join(self, key: str, *, upload_id: str, parts: Sequence[StoredPart], create_only: bool) -> None:
        """Makes the object. Raises as `ObjectStore.complete_multipart` does."""
        if not parts or len({part.number for part in parts}) != len(parts):
            raise StorageRefused("an object is made of at least one part, each named once")
        chosen = [
            {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
            for part in sorted(parts, key=lambda part: part.number)
        ]
        work = partial(self._join, key=key, upload_id=upload_id, chosen=chosen, create_only=create_only)
        await self._connection.run_with_long_timeout(work, key)

    def _join(
        self, client: S3Client, *, key: str, upload_id: str, chosen: list[dict[str, Any]], create_only: bool
    ) -> None:
        from botocore.exceptions import ClientError  # see make_client

        condition: Mapping[str, Any] = {"IfNoneMatch": "*"} if create_only else {}
        complete = partial(
            client.complete_multipart_upload,
            Bucket=self._bucket,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": chosen},  # type: ignore[typeddict-item]  # built as data above
        )
        if not create_only or not self._joins_conditionally:
            complete()
            return
        try:
            complete(**condition)
        except ClientError as error:
            if not is_unsupported(error):
                raise
            # Then the check beforehand (`S3ObjectStore.complete_multipart`) is the only protection. ADR-0014.
            self._joins_conditionally = False
            complete()

    async def abort(self, key: str, *, upload_id: str) -> bool:
        """Aborts an upload; returns whether it existed."""

        def work(client: S3Client) -> None:
            client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)

        try:
            await self._connection.run(work)
        except MultipartMissing:
            return False
        return True

    async def abort_all(self, prefix: str) -> int:
        """See `ObjectStore.abort_multipart_uploads`."""
        aborted = 0
        markers: dict[str, str] = {}
        while True:
            list_page = partial(self._list_page, prefix=prefix, markers=markers)
            found, markers = await self._connection.run(list_page)
            for key, upload_id in found:
                aborted += await self.abort(key, upload_id=upload_id)
            if not markers:
                return aborted

    def _list_page(
        self, client: S3Client, *, prefix: str, markers: Mapping[str, Any]
    ) -> tuple[list[tuple[str, str]], dict[str, str]]:
        list_uploads = partial(client.list_multipart_uploads, Bucket=self._bucket, Prefix=prefix)
        page = list_uploads(**markers)
        found = [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", [])]
        if not page.get("IsTruncated"):
            return found, {}
        return found, {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def put_pieces(
        self, key: str, pieces: AsyncIterator[bytearray], *, content_type: str, create_only: bool
    ) -> None:
        """Stores the pieces as one object, or nothing of it. One piece is in memory at a time."""
        parts: list[StoredPart] = []
        async with self._new_upload(key, content_type=content_type) as upload_id:
            async for piece in pieces:
                number = _next_number(parts)
                parts.append(await self._put_piece(key, upload_id=upload_id, number=number, piece=piece))
                del piece  # before the next one is gathered
            await self.join(key, upload_id=upload_id, parts=parts, create_only=create_only)

    async def copy(self, source: ObjectHead, target: str, *, tagging: str, part_bytes: int) -> None:
        """Makes `target` of parts of `source`, which must not change meanwhile.

        tagging: see `create`. part_bytes: size of each part; larger if an object may not have so many parts.
        Raises ObjectMissing (no source); StorageUnavailable, also if it was replaced meanwhile.
        """
        part_bytes = max(part_bytes, -(-source.size_bytes // MAX_PARTS))
        try:
            async with self._new_upload(
                target, content_type=source.content_type, tagging=tagging
            ) as upload_id:
                parts = await self._copy_parts(source, target, upload_id=upload_id, part_bytes=part_bytes)
            # The upload is not aborted from here on: the store may continue to join after a failed call, and
            # in some stores an abort then loses the object's bytes (ADR-0014). Its prefix is swept later.
            await self.join(target, upload_id=upload_id, parts=parts, create_only=False)
        except MultipartMissing as error:
            raise StorageUnavailable("the unfinished copy was dropped") from error

    async def _copy_parts(
        self, source: ObjectHead, target: str, *, upload_id: str, part_bytes: int
    ) -> list[StoredPart]:
        left = iter(enumerate(range(0, source.size_bytes, part_bytes), start=1))
        parts: list[StoredPart] = []

        async def copy_some() -> None:
            for number, start in left:
                size_bytes = min(part_bytes, source.size_bytes - start)
                part = await self._copy_part(
                    source, target, upload_id=upload_id, number=number, start=start, size_bytes=size_bytes
                )
                parts.append(part)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_COPIED_PARTS_AT_ONCE):
                    group.create_task(copy_some())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return parts

    async def _copy_part(
        self, source: ObjectHead, target: str, *, upload_id: str, number: int, start: int, size_bytes: int
    ) -> StoredPart:
        def work(client: S3Client) -> StoredPart:
            answer = client.upload_part_copy(
                Bucket=self._bucket,
                Key=target,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": source.key},
                CopySourceIfMatch=f'"{source.etag}"',
                CopySourceRange=f"bytes={start}-{start + size_bytes - 1}",
            )
            etag = answer["CopyPartResult"]["ETag"].strip('"')
            return StoredPart(number=number, size_bytes=size_bytes, etag=etag)

        try:
            # It waits when cancelled: a part that arrived after its upload was dropped would stay.
            return await self._connection.run_aside(work, source.key)
        except ObjectExistsAlready as error:  # the failed condition here is the one on the source
            raise StorageUnavailable("the source was replaced while it was copied") from error

    @asynccontextmanager
    async def _new_upload(self, key: str, *, content_type: str, tagging: str = "") -> AsyncGenerator[str]:
        """Yields the id of a new upload, which is aborted if the context fails."""
        upload_id = await self.create(key, content_type=content_type, tagging=tagging)
        try:
            yield upload_id
        except BaseException:
            # After any failure, or a cancellation. An upload that cannot be aborted is swept with its prefix.
            await asyncio.shield(self._forget(key, upload_id=upload_id))
            raise

    async def _forget(self, key: str, *, upload_id: str) -> None:
        try:
            await self.abort(key, upload_id=upload_id)
        except (StorageUnavailable, StorageRefused, ObjectExistsAlready):
            return

    async def _put_piece(self, key: str, *, upload_id: str, number: int, piece: bytearray) -> StoredPart:
        def work(client: S3Client) -> StoredPart:
            answer = client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=piece,  # type: ignore[arg-type]  # botocore takes it as it is; bytes would be a copy
                ContentMD5=b64encode(md5(piece, usedforsecurity=False).digest()).decode(),
            )
            return StoredPart(number=number, size_bytes=len(piece), etag=answer["ETag"].strip('"'))

        return await self._connection.run(work)


def tagging_of(tags: Mapping[str, str]) -> str:
    """Returns the tags as a header of a new upload, empty if not every store would accept them there."""
    tagging = urlencode(tags, quote_via=quote, safe="")
    return tagging if len(tagging) <= _MAX_TAGGING_CHARS else ""


def _next_number(parts: Sequence[StoredPart]) -> int:
    if len(parts) >= MAX_PARTS:
        raise StorageRefused(f"an object has at most {MAX_PARTS} parts")
    return len(parts) + 1
