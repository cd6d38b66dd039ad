"""Which of the parts a store lists may be relied on.

A listing is not enough: there are stores that keep what had come of a part when its sender died, under the
part's full size. What this client saw acknowledged, or what has the part's own digest, is there.
"""

from __future__ import annotations

import hashlib
import os
from typing import Protocol

from kappi_embedded.client.files import LocalFile
from kappi_embedded.client.upload_state import Parts, PresentPart

_CHUNK_BYTES = 1 << 20


class Acknowledged(Protocol):
    """The ETags that answers to this client's own PUTs had."""

    def etag_of(self, number: int) -> str | None: ...

    def note(self, number: int, etag: str) -> None: ...


def reliable_parts(file: LocalFile, parts: Parts, acknowledged: Acknowledged) -> dict[int, int]:
    """Sizes in bytes by number. Reads of the file what is not known otherwise: blocks. Raises OSError."""
    if _are_joined(parts):
        return {part.number: part.size_bytes for part in parts.present}
    found: dict[int, int] = {}
    with file.path.open("rb") as opened:
        for part in parts.present:
            start, size_bytes = parts.span(part.number, of_bytes=file.size_bytes)
            if part.size_bytes != size_bytes:
                continue
            if acknowledged.etag_of(part.number) == part.etag or _is(part, opened.fileno(), start):
                acknowledged.note(part.number, part.etag)
                found[part.number] = size_bytes
    return found


def _are_joined(parts: Parts) -> bool:
    """Whether an earlier completion got as far as the object, whose ETag is not like a part's."""
    etags = {part.etag for part in parts.present}
    return len(parts.present) == parts.count and len(etags) == 1 and etags.pop().endswith(f"-{parts.count}")


def _is(part: PresentPart, descriptor: int, start: int) -> bool:
    """Whether the ETag is the MD5 of these bytes, as it is in S3 unless the bucket is encrypted by a key."""
    md5 = hashlib.md5(usedforsecurity=False)
    left = part.size_bytes
    while left and (chunk := os.pread(descriptor, min(_CHUNK_BYTES, left), start)):
        md5.update(chunk)
        start += len(chunk)
        left -= len(chunk)
    return part.etag == md5.hexdigest()
