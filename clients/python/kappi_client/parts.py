"""The parts of one multipart upload: which are in the store, and signed URLs for the others.

The store's list is not enough. Some stores keep the bytes that had arrived of a part when its sender died,
and list them under the part's full size. A part is in the store when this client has its acknowledgement,
or when its ETag is a digest of its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from kappi_client.api import Api
from kappi_client.files import LocalFile
from kappi_client.object_store import SignedPut
from kappi_client.upload_state import Parts, PresentPart, signed_parts

_CHUNK_BYTES: Final = 1 << 20
_URLS_PER_CALL: Final = 100
_ETAG_CHARS: Final = 32


class Acknowledged(Protocol):
    """ETags that the answers to this client's own requests had, by part number."""

    def etag_of(self, number: int) -> str | None: ...

    def note(self, number: int, etag: str) -> None: ...


def reliable_parts(file: LocalFile, parts: Parts, acknowledged: Acknowledged) -> dict[int, int]:
    """Returns the sizes in bytes of the parts that are in the store, by number.

    Blocks: it reads the parts of the file that have no acknowledgement. Raises OSError.
    """
    if _are_joined(parts):
        return {part.number: part.size_bytes for part in parts.present}
    found: dict[int, int] = {}
    with file.path.open("rb") as opened:
        for part in parts.present:
            start, size_bytes = parts.span(part.number, of_bytes=file.size_bytes)
            if part.size_bytes != size_bytes:
                continue
            if acknowledged.etag_of(part.number) == part.etag or _has_digest(part, opened.fileno(), start):
                acknowledged.note(part.number, part.etag)
                found[part.number] = size_bytes
    return found


def _are_joined(parts: Parts) -> bool:
    """Whether an earlier completion has made the object. Its ETag differs from that of a part."""
    etags = {part.etag for part in parts.present}
    return len(parts.present) == parts.count and len(etags) == 1 and etags.pop().endswith(f"-{parts.count}")


def _has_digest(part: PresentPart, descriptor: int, start: int) -> bool:
    """Whether the ETag is the MD5 of these bytes, as in a bucket, or the beginning of their SHA-256, as in
    the embedded store. In a bucket that KMS encrypts it is neither.
    """
    digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    left = part.size_bytes
    while left and (chunk := os.pread(descriptor, min(_CHUNK_BYTES, left), start)):
        for digest in digests:
            digest.update(chunk)
        start += len(chunk)
        left -= len(chunk)
    return part.etag in {digest.hexdigest()[:_ETAG_CHARS] for digest in digests}


class PartUrls:
    """Signed URLs of one upload's parts, requested a hundred at a time and replaced when they expire.

    headers: credentials of the gallery. wanted: the numbers of the parts to send, in order.
    """

    def __init__(
        self, api: Api, upload_id: str, parts: Parts, *, wanted: Sequence[int], headers: Mapping[str, str]
    ) -> None:
        self._api = api
        self._path = f"/v1/uploads/{upload_id}/parts"
        self._headers = headers
        self._wanted = wanted
        self._urls = dict(parts.urls)
        self._request = asyncio.Lock()

    async def get(self, number: int) -> SignedPut:
        """Raises ApiError, Unreachable."""
        async with self._request:
            if number not in self._urls:
                await self._sign_from(number)
            return self._urls[number]

    async def replace(self, expired: SignedPut, number: int) -> SignedPut:
        """Returns a new URL. Raises ApiError, Unreachable."""
        async with self._request:
            if self._urls.get(number) == expired:
                self._urls.clear()  # the others are as old
            if number not in self._urls:
                await self._sign_from(number)
            return self._urls[number]

    async def _sign_from(self, number: int) -> None:
        at = self._wanted.index(number)
        numbers = self._wanted[at : at + _URLS_PER_CALL]
        answer = await self._api.call("POST", self._path, json={"numbers": numbers}, headers=self._headers)
        self._urls.update(signed_parts(answer["parts"]))
