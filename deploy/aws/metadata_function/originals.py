"""Reads the facts of an original in a few ranged requests, and writes its tags."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from kappi_media.domain.object_tags import TaggedFacts, with_facts
from kappi_mediameta.probing import SNIFF_BYTES, ProbeRejected, RejectReason, identify, probe
from kappi_mediameta.probing.source import BLOCK_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import TagTypeDef

_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
_EMPTY = "InvalidRange"


class ObjectGone(Exception):
    """The object was deleted after the event."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One state of an object. head: its first bytes, which sniffing and most probes read."""

    bucket: str
    key: str
    etag: str
    content_type: str
    size_bytes: int
    head: bytes = field(repr=False)


class ObjectSource:
    """A `RangedSource`. The probe is asynchronous because the service needs it so; these calls block."""

    def __init__(self, client: S3Client, stored: StoredObject) -> None:
        self._client = client
        self._stored = stored

    @property
    def size_bytes(self) -> int:
        return self._stored.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        if start + length <= len(self._stored.head):
            return self._stored.head[start : start + length]
        answer = self._client.get_object(
            Bucket=self._stored.bucket,
            Key=self._stored.key,
            Range=f"bytes={start}-{start + length - 1}",
            IfMatch=self._stored.etag,
        )
        return answer["Body"].read()


class Originals:
    """Reads and tags originals. Raises ObjectGone; ClientError and BotoCoreError for other errors of S3."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def open(self, bucket: str, key: str) -> StoredObject:
        """Opens an original. Raises ProbeRejected for an empty object."""
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{BLOCK_BYTES - 1}")
        except ClientError as error:
            if error.response["Error"]["Code"] == _EMPTY:
                raise ProbeRejected(RejectReason.EMPTY) from error
            raise _translated(error) from error
        return StoredObject(
            bucket=bucket,
            key=key,
            etag=answer["ETag"],
            content_type=answer["ContentType"],
            size_bytes=int(answer["ContentRange"].rpartition("/")[2]),
            head=answer["Body"].read(),
        )

    def facts(self, stored: StoredObject) -> TaggedFacts:
        """Returns the facts. Raises ProbeRejected if the format is not accepted or not the declared one."""
        fmt = identify(stored.content_type, stored.head[:SNIFF_BYTES])
        try:
            return TaggedFacts.of(asyncio.run(probe(ObjectSource(self._client, stored), fmt)))
        except ClientError as error:
            raise _translated(error) from error

    def tag(self, stored: StoredObject, facts: TaggedFacts) -> bool:
        """Returns whether tags had to be written. Raises TagsUnreadable if other tags leave no room."""
        try:
            found = self._client.get_object_tagging(Bucket=stored.bucket, Key=stored.key)["TagSet"]
            wanted = with_facts({tag["Key"]: tag["Value"] for tag in found}, facts)
            if wanted is None:
                return False
            tags: list[TagTypeDef] = [{"Key": name, "Value": value} for name, value in wanted.items()]
            self._client.put_object_tagging(Bucket=stored.bucket, Key=stored.key, Tagging={"TagSet": tags})
        except ClientError as error:
            raise _translated(error) from error
        return True


def _translated(error: ClientError) -> Exception:
    return ObjectGone() if error.response["Error"]["Code"] in _GONE else error
