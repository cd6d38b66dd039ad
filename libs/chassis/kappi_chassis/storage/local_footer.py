"""The facts at the end of every file the local store keeps: content type, ETag and SHA-256."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import BinaryIO, Final

import msgspec

from kappi_chassis.storage.contract import ObjectHead, StorageRefused, StorageUnavailable

FOOTER_BYTES: Final = 1024
_MAGIC: Final = b"kappi-object-1\n"


class Footer(msgspec.Struct, frozen=True):
    """sha256: None for what was joined from parts, as reading all of it again would be the price."""

    content_type: str
    etag: str
    sha256: bytes | None


def finish(file: BinaryIO, footer: Footer) -> None:
    """Write the footer behind the bytes and make all of it durable."""
    file.write(_packed(footer))
    file.flush()
    os.fsync(file.fileno())


def head_of(key: str, file: BinaryIO) -> ObjectHead:
    """What a finished file says of itself. Raises StorageUnavailable for a file that is none of ours."""
    status = os.fstat(file.fileno())
    size_bytes = status.st_size - FOOTER_BYTES
    footer = _unpacked(os.pread(file.fileno(), FOOTER_BYTES, max(size_bytes, 0)))
    return ObjectHead(
        key=key,
        size_bytes=size_bytes,
        etag=footer.etag,
        content_type=footer.content_type,
        last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
        sha256=footer.sha256,
    )


def _packed(footer: Footer) -> bytes:
    packed = _MAGIC + msgspec.json.encode(footer)
    if len(packed) > FOOTER_BYTES:
        raise StorageRefused("the content type is too long")
    return packed.ljust(FOOTER_BYTES)


def _unpacked(raw: bytes) -> Footer:
    if not raw.startswith(_MAGIC):
        raise StorageUnavailable("a file in the store's folder is not an object of this store")
    return msgspec.json.decode(raw[len(_MAGIC) :], type=Footer)
