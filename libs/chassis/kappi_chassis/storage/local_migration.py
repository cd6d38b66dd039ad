"""Migrates folders of older versions, which had the metadata of an object behind its bytes, to plain files in
place.

Older versions kept objects in `objects/`, each with a footer of 1,024 bytes. The migration writes the
metadata of a batch of files into their attributes, makes that durable, and cuts the footers off. When all are
plain, `objects/` is renamed to `files/`; until then the migration is not complete. The size of a file and its
attribute show its state, so the next start continues after a crash.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from kappi_chassis.storage.local_folders import KeyedFolder, sync_folder
from kappi_chassis.storage.local_metadata import Metadata, read_metadata, write_metadata
from kappi_chassis.storage.local_paths import FILES_FOLDER, MULTIPARTS_FOLDER, OBJECT_SUFFIX

_OLD_FOLDER: Final = "objects"
_FOOTER_BYTES: Final = 1024
_MAGIC: Final = b"kappi-object-1\n"
_BATCH_FILES: Final = 1000
"""The number of files that share one sync. A larger number would only hold more names in memory."""


class _Footer(msgspec.Struct, frozen=True):
    content_type: str
    etag: str
    sha256: bytes | None


def needs_migration(root: Path) -> bool:
    """Returns whether the folder of a store has objects of an older version."""
    return (root / _OLD_FOLDER).is_dir()


def migrate(root: Path) -> Iterator[int]:
    """Makes the objects of an older version plain files. Yields the number done so far, after each batch.

    No other process may use the folder meanwhile. The iteration may be stopped, or killed, at any point:
    another one continues. It needs no room for copies, and memory for the names of one batch. Raises OSError,
    also when the file system has no extended attributes: the folder is then unchanged.
    """
    if not needs_migration(root):
        return
    old, new = root / _OLD_FOLDER, root / FILES_FOLDER
    for part in _files(root / MULTIPARTS_FOLDER):
        _describe(part)  # its footer may stay: only as many bytes of a part are read as its metadata says
    objects = (path for path in _files(old) if path.name.endswith(OBJECT_SUFFIX))
    done = 0
    while batch := list(islice(objects, _BATCH_FILES)):
        described = [(path, size_bytes) for path in batch if (size_bytes := _describe(path)) is not None]
        os.sync()  # one for all: an fsync for each file would wait for the disk each time
        for path, size_bytes in described:
            _cut(path, size_bytes)
        done += len(batch)
        yield done
    os.sync()
    _move(old, new)
    sync_folder(root)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _describe(path: Path) -> int | None:
    """Writes the metadata of a footer into the attribute. Returns the size without the footer, if there is
    one.
    """
    with path.open("rb", buffering=0) as file:
        content_bytes = os.fstat(file.fileno()).st_size - _FOOTER_BYTES
        metadata = read_metadata(file.fileno())
        if metadata is None:
            footer = _read_footer(file.fileno(), content_bytes)
            if footer is None:
                return None  # not a file of this store
            metadata = Metadata(
                content_type=footer.content_type,
                size_bytes=content_bytes,
                etag=footer.etag,
                sha256=footer.sha256,
            )
            write_metadata(file.fileno(), metadata)
    return content_bytes if metadata.size_bytes == content_bytes else None


def _read_footer(file: int, offset: int) -> _Footer | None:
    raw = os.pread(file, _FOOTER_BYTES, offset) if offset >= 0 else b""
    if not raw.startswith(_MAGIC):
        return None
    try:
        return msgspec.json.decode(raw[len(_MAGIC) :], type=_Footer)
    except msgspec.DecodeError:
        return None


def _cut(path: Path, size_bytes: int) -> None:
    status = path.stat()
    os.truncate(path, size_bytes)
    # An object's time is when it was stored. A kill between these two calls makes the time of one file later,
    # so that clients fetch it once more.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _move(old: Path, new: Path) -> None:
    try:
        old.rename(new)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        # An older version was run once more after a newer one.
        folder = KeyedFolder(new)
        for path in _files(old):
            folder.place(path, new / path.relative_to(old), os.replace)
        shutil.rmtree(old)
