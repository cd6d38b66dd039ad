"""`ObjectStore` on any S3, through boto3 on a bounded set of threads."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from kappi_chassis.storage.contract import (
    DeleteReport,
    ListedObject,
    ObjectHead,
    ObjectMissing,
    ObjectPage,
    RangedRead,
)
from kappi_chassis.storage.offload import BlockingPool
from kappi_chassis.storage.s3_errors import error_status, translated_errors, versions_unsupported
from kappi_chassis.storage.s3_signing import Addressing
from kappi_chassis.storage.sigv4 import Credentials

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

T = TypeVar("T")

MAX_BATCH = 1000
"""Keys per DeleteObjects and per page: the limit S3 itself sets."""

_CONNECT_TIMEOUT_S = 3
_READ_TIMEOUT_S = 20
_ATTEMPTS = 2
_ALREADY_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """Which bucket, where. endpoint: None means AWS itself, found by `region`."""

    bucket: str
    region: str
    endpoint: str | None = None
    addressing: Addressing = Addressing.PATH


class S3ObjectStore:
    """See `ObjectStore`. boto3 is imported on the first call, so an embedded system never pays for it."""

    def __init__(self, address: S3Address, *, credentials: Credentials, threads: int = 16) -> None:
        """threads: calls in flight at once, and kept connections."""
        self._address = address
        self._credentials = credentials
        self._pool = BlockingPool(
            name="s3", threads=threads, timeout_s=_ATTEMPTS * (_CONNECT_TIMEOUT_S + _READ_TIMEOUT_S) + 5.0
        )
        self._client: S3Client | None = None
        self._connecting = Lock()
        self._keeps_versions = True

    async def head(self, key: str) -> ObjectHead:
        """See `ObjectStore.head`."""
        client = await self._connected()
        call = partial(client.head_object, Bucket=self._address.bucket, Key=key, ChecksumMode="ENABLED")
        try:
            answer = await self._pool.run(_translated, call, key)
        except ObjectMissing:
            # HEAD has no body, so its 404 may as well mean a missing bucket: GET tells which. Where it finds
            # the object, that was stored this moment.
            await self._pool.run(self._read, client, key, "bytes=0-0")
            answer = await self._pool.run(_translated, call, key)
        return _head_of(key, answer, size_bytes=answer["ContentLength"])

    async def read(self, key: str, *, start: int = 0, length: int) -> RangedRead:
        """See `ObjectStore.read`. One request, but for ranges beyond the end (an empty object's any)."""
        if start < 0 or length < 1:
            raise ValueError("A range begins at 0 or later and holds at least one byte")
        client = await self._connected()
        found = await self._pool.run(self._read, client, key, f"bytes={start}-{start + length - 1}")
        # S3 has no empty range: it answers 416, and only HEAD tells the size then.
        return found or RangedRead(head=await self.head(key), body=b"")

    def _read(self, client: S3Client, key: str, byte_range: str) -> RangedRead | None:
        from botocore.exceptions import ClientError  # see make_client

        with translated_errors(key):
            try:
                answer = client.get_object(Bucket=self._address.bucket, Key=key, Range=byte_range)
            except ClientError as error:
                if error_status(error) == 416:
                    return None
                raise
            with answer["Body"] as body:
                content = body.read()
        # A store may ignore the range and send everything (RFC 9110, 14.2): then there is no Content-Range.
        total = answer.get("ContentRange", "").rpartition("/")[2]
        size_bytes = int(total) if total.isdigit() else answer["ContentLength"]
        if not total:
            start, _, end = byte_range.removeprefix("bytes=").partition("-")
            content = content[int(start) : int(end) + 1]
        return RangedRead(head=_head_of(key, answer, size_bytes=size_bytes), body=content)

    async def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        """See `ObjectStore.stream`."""
        client = await self._connected()
        call = partial(client.get_object, Bucket=self._address.bucket, Key=key)
        answer = await self._pool.run(_translated, call, key)
        body: StreamingBody = answer["Body"]
        try:
            while chunk := await self._pool.run(_translated, partial(body.read, chunk_bytes), key):
                yield chunk
        finally:
            # Closing drops the connection if bytes are left: cheaper than reading them, and does not block.
            body.close()

    async def put(self, key: str, body: bytes, *, content_type: str) -> ObjectHead:
        """See `ObjectStore.put`."""
        client = await self._connected()
        digest = sha256(body).digest()
        call = partial(
            client.put_object,
            Bucket=self._address.bucket,
            Key=key,
            Body=body,
            ContentType=content_type,
            ChecksumSHA256=b64encode(digest).decode(),
        )
        answer = await self._pool.run(_translated, call)
        stored_at = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if stored_at is None:
            return await self.head(key)
        return ObjectHead(
            key=key,
            size_bytes=len(body),
            etag=_bare_etag(answer["ETag"]),
            content_type=content_type,
            last_modified=_as_utc(parsedate_to_datetime(stored_at)),
            sha256=digest if answer.get("ChecksumSHA256") else None,
        )

    async def list_page(self, prefix: str, *, token: str | None = None, limit: int = MAX_BATCH) -> ObjectPage:
        """See `ObjectStore.list_page`."""
        client = await self._connected()
        max_keys = max(1, min(limit, MAX_BATCH))
        call = partial(client.list_objects_v2, Bucket=self._address.bucket, Prefix=prefix, MaxKeys=max_keys)
        if token is not None:
            call = partial(call, ContinuationToken=token)
        answer = await self._pool.run(_translated, call)
        objects = tuple(
            ListedObject(
                key=found["Key"], size_bytes=found["Size"], last_modified=_as_utc(found["LastModified"])
            )
            for found in answer.get("Contents", [])
        )
        return ObjectPage(objects=objects, next_token=answer.get("NextContinuationToken"))

    async def delete_batch(self, keys: Sequence[str]) -> DeleteReport:
        """See `ObjectStore.delete_batch`."""
        wanted = dict.fromkeys(keys)
        if len(wanted) > MAX_BATCH:
            raise ValueError(f"At most {MAX_BATCH} keys a call")
        client = await self._connected()
        return await self._pool.run(self._delete, client, [{"Key": key} for key in wanted])

    async def delete_versions_page(self, prefix: str) -> DeleteReport:
        """See `ObjectStore.delete_versions_page`."""
        client = await self._connected()
        found = await self._pool.run(self._versions_page, client, prefix)
        return await self._pool.run(self._delete, client, found)

    def _versions_page(self, client: S3Client, prefix: str) -> list[ObjectIdentifierTypeDef]:
        from botocore.exceptions import ClientError  # see make_client

        bucket = self._address.bucket
        with translated_errors():
            if self._keeps_versions:
                try:
                    versions = client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=MAX_BATCH)
                except ClientError as error:
                    if not versions_unsupported(error):
                        raise
                    self._keeps_versions = False
                else:
                    every = [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]
                    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in every]
            current = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=MAX_BATCH)
            return [{"Key": each["Key"]} for each in current.get("Contents", [])]

    def _delete(self, client: S3Client, found: Sequence[ObjectIdentifierTypeDef]) -> DeleteReport:
        if not found:
            return DeleteReport(deleted=0)
        with translated_errors():
            answer = client.delete_objects(
                Bucket=self._address.bucket, Delete={"Objects": found, "Quiet": True}
            )
        # Several versions of one key may fail: counted each, told once.
        errors = [each for each in answer.get("Errors", []) if each.get("Code") not in _ALREADY_GONE]
        failed = {each.get("Key", ""): each.get("Code", "Unknown") for each in errors}
        return DeleteReport(deleted=len(found) - len(errors), failed=failed)

    async def abort_multipart_uploads(self, prefix: str) -> int:
        """See `ObjectStore.abort_multipart_uploads`."""
        client = await self._connected()
        bucket, aborted = self._address.bucket, 0
        markers: dict[str, str] = {}
        while True:
            listed = partial(client.list_multipart_uploads, Bucket=bucket, Prefix=prefix)
            page = await self._pool.run(_translated, partial(listed, **markers))
            for upload in page.get("Uploads", []):
                upload_key, upload_id = upload["Key"], upload["UploadId"]
                abort = partial(
                    client.abort_multipart_upload, Bucket=bucket, Key=upload_key, UploadId=upload_id
                )
                try:
                    await self._pool.run(_translated, abort, upload_key)
                except ObjectMissing:  # completed or aborted meanwhile
                    continue
                aborted += 1
            if not page.get("IsTruncated"):
                return aborted
            markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def ready(self) -> None:
        """See `ObjectStore.ready`."""
        client = await self._connected()
        await self._pool.run(_translated, partial(client.head_bucket, Bucket=self._address.bucket))

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        await self._pool.close()
        if self._client is not None:
            self._client.close()

    async def _connected(self) -> S3Client:
        if self._client is None:
            return await self._pool.run(self._connect)
        return self._client

    def _connect(self) -> S3Client:
        with self._connecting:
            if self._client is not None:
                return self._client
            client = make_client(self._address, credentials=self._credentials, connections=self._pool.threads)
            self._client = client
            return client


def make_client(address: S3Address, *, credentials: Credentials, connections: int) -> S3Client:
    """A boto3 client with bounded timeouts, retries and connections.

    boto3 is imported here: it takes 40 MB and 0.3 s, which a system on a local folder need not spend.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=address.region,
        signature_version="s3v4",
        s3={"addressing_style": address.addressing.value},
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        max_pool_connections=connections,
        # Not every S3 knows the newer default checksums in trailers; we send SHA-256 ourselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # A session of our own: boto3's default session is shared and not safe to create clients from threads.
    session = boto3.session.Session(
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.session_token,
    )
    client: S3Client = session.client("s3", endpoint_url=address.endpoint, config=config)
    client.meta.events.register("before-call.s3.GetObject", _ask_for_checksum)
    return client


def _ask_for_checksum(params: dict[str, Any], **_: object) -> None:
    # Not the ChecksumMode argument: with it botocore would check a range against the whole object's sum.
    params["headers"]["x-amz-checksum-mode"] = "ENABLED"


def _translated(call: partial[T], key: str | None = None) -> T:
    with translated_errors(key):
        return call()


def _head_of(key: str, answer: Mapping[str, Any], *, size_bytes: int) -> ObjectHead:
    checksum = answer.get("ChecksumSHA256")
    # A "-3" suffix marks a checksum of part checksums: not the content's digest.
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
