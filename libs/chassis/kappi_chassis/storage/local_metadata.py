"""The metadata of a file in the local store: content type, ETag and SHA-256, in an extended attribute.

An attribute belongs to its file as the bytes do. One fsync makes both durable, and the link or rename that
makes the file appear makes it appear with its metadata. The bytes are those of the object and no others.

Some backup programs lose attributes. A file without its attribute is still an object: its content type is
guessed from the key, its ETag is made of time and size, and it has no SHA-256. The same holds for a file that
another program has changed, which is detected by its size.
"""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec.structs import replace

from kappi_chassis.storage.contract import ObjectHead, StorageUnavailable
from kappi_chassis.storage.local_attributes import read_attribute, write_attribute

_UNKNOWN_TYPE: Final = "application/octet-stream"
_ETAG_CHARS: Final = 32


class Metadata(msgspec.Struct, frozen=True, array_like=True):
    """The metadata. It is stored as msgpack, so new fields come last and have a default.

    size_bytes: of the object. The rest holds only for a file of that size. sha256: None for an object joined
    from parts, because the whole object would have to be read again.
    """

    content_type: str
    size_bytes: int
    etag: str
    sha256: bytes | None


def etag_of(digest: bytes) -> str:
    """Returns the ETag of an object written in one piece, by its SHA-256 or MD5."""
    return digest.hex()[:_ETAG_CHARS]


def check_attributes(folder: Path) -> None:
    """Raises StorageUnavailable when files have no extended attributes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if read_attribute(descriptor) is None:
            write_attribute(descriptor, b"")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise StorageUnavailable(
            "the file system of the store has no extended attributes: "
            "put its folder on one that has them, such as ext4, XFS, Btrfs or APFS"
        ) from error
    finally:
        os.close(descriptor)


def metadata_of(head: ObjectHead) -> Metadata:
    """Returns the metadata of a copy of an object."""
    return Metadata(head.content_type, head.size_bytes, head.etag, head.sha256)


def finish(file: BinaryIO, metadata: Metadata) -> None:
    """Makes the bytes of a file durable, with their metadata."""
    file.flush()
    write_metadata(file.fileno(), metadata)
    os.fsync(file.fileno())


def write_metadata(file: int, metadata: Metadata) -> None:
    """Sets the attribute of an open file. It is not durable before an fsync."""
    if metadata.sha256 is not None and metadata.etag == etag_of(metadata.sha256):
        # ext4 has some 60 bytes for attributes in the inode, and uses a block of 4 KiB for longer ones.
        metadata = replace(metadata, etag="")
    write_attribute(file, msgspec.msgpack.encode(metadata))


def read_metadata(file: int) -> Metadata | None:
    """Returns the metadata; None for a file without an attribute, or with one that is not of this store."""
    value = read_attribute(file)
    if value is None:
        return None
    try:
        metadata = msgspec.msgpack.decode(value, type=Metadata)
    except msgspec.DecodeError:
        return None
    if not metadata.etag and metadata.sha256 is not None:
        return replace(metadata, etag=etag_of(metadata.sha256))
    return metadata


def head_of(key: str, file: BinaryIO) -> ObjectHead:
    """Returns the head of the object `key`, whose file is open."""
    status = os.fstat(file.fileno())
    metadata = read_metadata(file.fileno())
    if metadata is None or metadata.size_bytes != status.st_size:
        metadata = _guessed(key, status)
    return ObjectHead(
        key=key,
        size_bytes=status.st_size,
        etag=metadata.etag,
        content_type=metadata.content_type,
        last_modified=datetime.fromtimestamp(status.st_mtime, UTC),
        sha256=metadata.sha256,
    )


def _guessed(key: str, status: os.stat_result) -> Metadata:
    content_type = guess_type(key)[0] or _UNKNOWN_TYPE
    return Metadata(content_type, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", None)
