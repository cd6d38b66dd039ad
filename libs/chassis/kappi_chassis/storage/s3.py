"""`ObjectStore` on any S3, through boto3 on a limited number of threads."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from kappi_chassis.storage.content_type import header_content_type
from kappi_chassis.storage.contract import (
    DeleteReport,
    ListedObject,
    ObjectExistsAlready,
    ObjectHead,
    ObjectMissing,
    ObjectPage,
    RangedRead,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
)
from kappi_chassis.storage.rechunk import rechunk
from kappi_chassis.storage.s3_client import S3Address, S3Connection
from kappi_chassis.storage.s3_deletion import MAX_BATCH, S3Deletion
from kappi_chassis.storage.s3_errors import error_code, error_status, is_unsupported
from kappi_chassis.storage.s3_multipart import S3Multiparts, piece_size, tagging_of
from kappi_chassis.storage.sigv4 import Credentials
from kappi_chassis.storage.tag_rules import checked_tags

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_COPY_PART_BYTES = 256 << 20
"""S3 copies up to 5 GiB in one call, but the answer must come within the client's read timeout."""


class S3ObjectStore:
    """See `ObjectStore`."""

    def __init__(
        self,
        address: S3Address,
        *,
        credentials: Credentials | None,
        threads: int = 16,
        copy_part_bytes: int = _COPY_PART_BYTES,
    ) -> None:
        """credentials: None for boto3's default chain. threads: concurrent calls, and connections kept.

        copy_part_bytes: larger objects are copied in parts of this size; at least 5 MiB, at most 5 GiB.
        """
        self._bucket = address.bucket
        self._connection = S3Connection(address, credentials=credentials, threads=threads)
        self._multiparts = S3Multiparts(self._connection)
        self._deletion = S3Deletion(self._connection)
        self._copy_part_bytes = copy_part_bytes

    async def check_room(self, size_bytes: int) -> None:
        """See `ObjectStore.check_room`. An S3 is never full."""

    async def head(self, key: str) -> ObjectHead:
        """See `ObjectStore.head`."""

        def work(client: S3Client) -> ObjectHead:
            answer = client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
            return _head_of(key, answer, size_bytes=answer["ContentLength"])

        try:
            return await self._connection.run(work, key)
        except ObjectMissing:
            # HEAD has no body, so its 404 may also mean a missing bucket: GET tells the difference. If GET
            # finds the object, it was stored just now.
            await self._connection.run(partial(self._read, key=key, start=0, length=1), key)
            return await self._connection.run(work, key)

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        """See `ObjectStore.read`.

        One request, except for ranges beyond the end (all ranges of an empty object).
        """
        if start < 0 or length < 1:
            raise ValueError("A range begins at 0 or later and holds at least one byte")
        found = await self._connection.run(partial(self._read, key=key, start=start, length=length), key)
        # S3 has no empty range: it answers 416, and only HEAD then gives the size.
        return found or RangedRead(head=await self.head(key), body=b"")

    def _read(self, client: S3Client, *, key: str, start: int, length: int) -> RangedRead | None:
        answer = self._get(client, key, byte_range=f"bytes={start}-{start + length - 1}")
        if answer is None:
            return None
        with answer["Body"] as body:
            content = body.read()
        # A store may ignore the range and send everything (RFC 9110, 14.2): then there is no Content-Range.
        total = answer.get("ContentRange", "").rpartition("/")[2]
        size_bytes = int(total) if total.isdigit() else answer["ContentLength"]
        if not total:
            content = content[start : start + length]
        return RangedRead(head=_head_of(key, answer, size_bytes=size_bytes), body=content)

    def _get(self, client: S3Client, key: str, *, byte_range: str | None) -> Mapping[str, Any] | None:
        """Returns the answer with its body unread; None if the range begins beyond the end."""
        from botocore.exceptions import ClientError  # see make_client

        wanted: Mapping[str, Any] = {"Range": byte_range} if byte_range is not None else {}
        try:
            return client.get_object(Bucket=self._bucket, Key=key, **wanted)
        except ClientError as error:
            if error_status(error) == 416:
                return None
            raise

    async def stream(
        self, key: str, *, start: int = 0, length: int | None = None, chunk_bytes: int = 1 << 20
    ) -> AsyncGenerator[bytes]:
        """See `ObjectStore.stream`."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("A range begins at 0 or later and is not shorter than nothing")
        if length == 0:
            await self.head(key)
            return
        last = "" if length is None else str(start + length - 1)
        byte_range = f"bytes={start}-{last}" if start or last else None
        answer = await self._connection.run(partial(self._get, key=key, byte_range=byte_range), key)
        if answer is None:
            return
        body: StreamingBody = answer["Body"]
        # The store may ignore the range (see `_read`): bytes before it are dropped, those after it not read.
        to_drop = start if byte_range is not None and "ContentRange" not in answer else 0
        left = length
        try:
            while (left is None or left > 0) and (
                chunk := await self._connection.run(lambda _: body.read(chunk_bytes), key)
            ):
                wanted = chunk[to_drop:][:left]
                to_drop = max(0, to_drop - len(chunk))
                if wanted:
                    yield wanted
                    left = None if left is None else left - len(wanted)
        finally:
            # Closing drops the connection if bytes are left, which is cheaper than reading and does not
            # block.
            body.close()

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        """See `ObjectStore.put`."""
        return await self._put(key, body, content_type=content_type, condition={})

    async def _put(
        self, key: str, body: bytes | bytearray, *, content_type: str, condition: Mapping[str, Any]
    ) -> ObjectHead:
        def work(client: S3Client) -> ObjectHead | None:
            digest = sha256(body).digest()
            answer = client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,  # type: ignore[arg-type]  # see `S3Multiparts._put_piece`
                ContentType=content_type,
                ChecksumSHA256=b64encode(digest).decode(),
                **condition,
            )
            stored_at = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            if stored_at is None:
                return None
            return ObjectHead(
                key=key,
                size_bytes=len(body),
                etag=_bare_etag(answer["ETag"]),
                content_type=content_type,
                last_modified=_as_utc(parsedate_to_datetime(stored_at)),
                sha256=digest if answer.get("ChecksumSHA256") else None,
            )

        return await self._connection.run(work) or await self.head(key)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, replace: bool
    ) -> ObjectHead:
        """See `ObjectStore.put_stream`. One request below 5 MiB, a multipart upload from there on."""
        _check_content_type(content_type)
        async with aclosing(rechunk(chunks, size_of=piece_size)) as pieces:
            led = [await anext(pieces)]
            if len(led[0]) < piece_size(1):  # the whole object
                condition = {} if replace else {"IfNoneMatch": "*"}
                return await self._put(key, led[0], content_type=content_type, condition=condition)
            if not replace:
                await self._expect_nothing(key)
            await self._multiparts.put_pieces(
                key, _led_by(led, pieces), content_type=content_type, create_only=not replace
            )
        return await self.head(key)

    async def copy(self, source: str, target: str) -> ObjectHead:
        """See `ObjectStore.copy`. One request up to `copy_part_bytes`, a multipart upload beyond.

        A cancellation waits for the running requests, usually seconds.
        """
        found = await self.head(source)
        if source == target:  # S3 refuses it
            return found
        if found.size_bytes <= self._copy_part_bytes:
            await self._connection.run_aside(partial(self._copy, source=source, target=target), source)
            tags = None
        else:
            tags = await self._connection.run(partial(self._tags_if_any, key=source), source)
            await self._multiparts.copy(
                found, target, tagging=tagging_of(tags), part_bytes=self._copy_part_bytes
            )
        try:
            if tags and await self.tags(target) != tags:  # too many for a header, or a store that ignores it
                await self.set_tags(target, tags)
            return await self.head(target)
        except ObjectMissing as error:
            raise StorageUnavailable("the copy was deleted as soon as it was made") from error

    def _copy(self, client: S3Client, *, source: str, target: str) -> None:
        # Type and tags are copied by default.
        client.copy_object(
            Bucket=self._bucket, Key=target, CopySource={"Bucket": self._bucket, "Key": source}
        )

    async def create_multipart(
        self, key: str, *, content_type: str, part_size_bytes: int | None = None
    ) -> str:
        """See `ObjectStore.create_multipart`. S3 has no use for the size of the parts."""
        _check_content_type(content_type)
        return await self._multiparts.create(key, content_type=content_type)

    async def list_parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """See `ObjectStore.list_parts`."""
        return await self._multiparts.parts(key, upload_id=upload_id)

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[StoredPart]
    ) -> ObjectHead:
        """See `ObjectStore.complete_multipart`.

        The store ensures create-only if it supports `If-None-Match` here; otherwise a check beforehand does.
        ADR-0014.
        """
        await self._expect_nothing(key)
        await self._multiparts.join(key, upload_id=upload_id, parts=parts, create_only=True)
        try:
            return await self.head(key)
        except ObjectMissing as error:
            # The Versity gateway reports success to the slower of two calls while the faster one still works.
            raise StorageUnavailable("the parts are still being joined") from error

    async def _expect_nothing(self, key: str) -> None:
        try:
            await self.head(key)
        except ObjectMissing:
            return
        raise ObjectExistsAlready

    async def abort_multipart(self, key: str, *, upload_id: str) -> None:
        """See `ObjectStore.abort_multipart`."""
        await self._multiparts.abort(key, upload_id=upload_id)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        """See `ObjectStore.abort_multipart_uploads`."""
        return await self._multiparts.abort_all(prefix)

    async def tags(self, key: str) -> dict[str, str]:
        """See `ObjectStore.tags`."""
        return await self._connection.run(partial(self._tags, key=key), key)

    def _tags(self, client: S3Client, *, key: str) -> dict[str, str]:
        from botocore.exceptions import ClientError  # see make_client

        try:
            answer = client.get_object_tagging(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error_code(error) == "NoSuchTagSet":
                return {}
            raise
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def _tags_if_any(self, client: S3Client, *, key: str) -> dict[str, str]:
        """Returns the same, empty for a store without tags."""
        from botocore.exceptions import ClientError  # see make_client

        try:
            return self._tags(client, key=key)
        except ClientError as error:
            if is_unsupported(error):
                return {}
            raise

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """See `ObjectStore.set_tags`."""
        named = [{"Key": name, "Value": value} for name, value in checked_tags(tags).items()]

        def work(client: S3Client) -> None:
            client.put_object_tagging(
                Bucket=self._bucket,
                Key=key,
                Tagging={"TagSet": named},  # type: ignore[typeddict-item]  # built as data above
            )

        await self._connection.run(work, key)

    async def list_page(
        self, prefix: str, *, token: str | None = None, after: str | None = None, limit: int = MAX_BATCH
    ) -> ObjectPage:
        """See `ObjectStore.list_page`."""
        start: dict[str, Any] = {}
        if token is not None:
            start["ContinuationToken"] = token
        elif after is not None:
            start["StartAfter"] = after

        def work(client: S3Client) -> ObjectPage:
            max_keys = max(1, min(limit, MAX_BATCH))
            answer = client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, MaxKeys=max_keys, **start)
            objects = tuple(
                ListedObject(
                    key=found["Key"], size_bytes=found["Size"], last_modified=_as_utc(found["LastModified"])
                )
                for found in answer.get("Contents", [])
            )
            return ObjectPage(objects=objects, next_token=answer.get("NextContinuationToken"))

        return await self._connection.run(work)

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """See `ObjectStore.delete_batch`."""
        return await self._deletion.delete_batch(keys)

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """See `ObjectStore.delete_versions_page`."""
        return await self._deletion.delete_versions_page(prefix)

    async def ready(self) -> None:
        """See `ObjectStore.ready`."""

        def work(client: S3Client) -> None:
            client.head_bucket(Bucket=self._bucket)

        await self._connection.run(work)

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        await self._connection.close()


async def _led_by(first: list[bytearray], pieces: AsyncIterator[bytearray]) -> AsyncIterator[bytearray]:
    """Yields those of `first`, removing them, then the others, and keeps no reference to a yielded one."""
    while first:
        yield first.pop(0)
    while (piece := await anext(pieces, None)) is not None:
        yield piece
        del piece


def _check_content_type(content_type: str) -> None:
    try:
        header_content_type(content_type)
    except ValueError as error:
        raise StorageRefused(str(error)) from error


def _head_of(key: str, answer: Mapping[str, Any], *, size_bytes: int) -> ObjectHead:
    checksum = answer.get("ChecksumSHA256")
    # A "-3" suffix marks a checksum of part checksums, which is not the content's digest.
    whole = checksum is not None and "-" not in checksum
    return ObjectHead(
        key=key,
        size_bytes=size_bytes,
        etag=_bare_etag(answer["ETag"]),
        content_type=answer.get("ContentType", "application/octet-stream"),
        last_modified=_as_utc(answer["LastModified"]),
        sha256=b64decode(checksum) if checksum is not None and whole else None,
    )


def _bare_etag(etag: str) -> str:
    return etag.strip('"')


def _as_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
