"""Objects as files: the blocking half of the local store.

One object is one file: its bytes, then a footer of fixed size with content type, ETag and SHA-256. One file
means one atomic step (link or rename) makes the object appear whole, with its facts, or not at all; a
sidecar would need two. The footer is last, so bytes are read from offset 0 and listings need only `stat`.

Directories come and go without locks, among processes too: a writer makes them and tries again when they
vanish under it, a deleter removes only what `rmdir` finds empty.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kappi_chassis.storage.contract import ObjectHead, ObjectMissing, StorageRefused, StorageUnavailable
from kappi_chassis.storage.local_paths import object_path

FOOTER_BYTES: Final = 1024
_MAGIC: Final = b"kappi-object-1\n"
_PUBLISH_ATTEMPTS: Final = 100


class ObjectExists(Exception):
    """A create-only write found an object already there."""


class _Footer(msgspec.Struct, frozen=True):
    content_type: str
    etag: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object being read: it stays whole to its reader even when replaced or deleted meanwhile."""

    file: BinaryIO
    head: ObjectHead

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes, never the footer's."""
        length = min(length, self.head.size_bytes - offset)
        return os.pread(self.file.fileno(), length, offset) if length > 0 else b""

    def close(self) -> None:
        self.file.close()


class ObjectWriter:
    """An object being written, invisible until `publish`. Not for concurrent use."""

    def __init__(self, tree: ObjectTree, key: str, *, content_type: str) -> None:
        self._tree = tree
        self._key = key
        self._content_type = content_type
        self._path = object_path(tree.objects, key)
        self._file, self._temporary = tree.temporary_file()
        self._digest = sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def digest(self) -> bytes:
        """SHA-256 of what was written so far."""
        return self._digest.digest()

    def publish(self, *, replace: bool) -> ObjectHead:
        """Make the object durable and visible. Raises ObjectExists when not `replace` and one is there."""
        footer = _Footer(
            content_type=self._content_type, etag=self._digest.hexdigest()[:32], sha256=self.digest()
        )
        self._file.write(_packed(footer))
        self._file.flush()
        os.fsync(self._file.fileno())
        modified = os.fstat(self._file.fileno()).st_mtime
        self._file.close()
        place = os.replace if replace else _link_and_unlink
        self._tree.place(self._temporary, self._path, place)
        return _head(self._key, footer, size_bytes=self.size_bytes, modified=modified)

    def discard(self) -> None:
        """Forget what was written; harmless after `publish`."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class ObjectTree:
    """The folder: `objects/` holds what is stored, `incoming/` what is being written."""

    def __init__(self, root: Path) -> None:
        self.objects = root / "objects"
        self._incoming = root / "incoming"

    def prepare(self, *, stale_before: datetime) -> None:
        """Make the folders and remove what writers that died left behind before `stale_before`."""
        self.objects.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)
        for leftover in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too, or it was published
                if leftover.stat().st_mtime < stale_before.timestamp():
                    leftover.unlink()

    def temporary_file(self) -> tuple[BinaryIO, Path]:
        """A new private file to write an object to."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
        except FileNotFoundError:
            self._incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
        return os.fdopen(descriptor, "wb"), Path(name)

    def place(self, source: Path, target: Path, step: Callable[[Path, Path], None]) -> None:
        """Move a finished file to its name by `step`, and make the name durable."""
        for _ in range(_PUBLISH_ATTEMPTS):
            try:
                _make_folders(target.parent, below=self.objects)
                step(source, target)
            except FileNotFoundError:
                if not source.exists():
                    raise
                continue  # a deleter removed a folder it found empty, between our two steps
            with contextlib.suppress(FileNotFoundError):  # stored, and deleted again by now
                _sync_folder(target.parent)
            return
        raise StorageUnavailable("the folder of an object keeps vanishing")

    def open(self, key: str) -> OpenObject:
        """Raises ObjectMissing."""
        try:
            file = object_path(self.objects, key).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
        try:
            status = os.fstat(file.fileno())
            size_bytes = status.st_size - FOOTER_BYTES
            footer = _unpacked(os.pread(file.fileno(), FOOTER_BYTES, max(size_bytes, 0)))
        except BaseException:
            file.close()
            raise
        return OpenObject(file, _head(key, footer, size_bytes=size_bytes, modified=status.st_mtime))

    def exists(self, key: str) -> bool:
        return object_path(self.objects, key).exists()

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Delete objects, missing ones included. Returns key -> reason of those that could not be."""
        failed: dict[str, str] = {}
        emptied: dict[Path, None] = {}
        for key in keys:
            try:
                path = object_path(self.objects, key)
                path.unlink(missing_ok=True)
            except StorageRefused as error:
                failed[key] = str(error)
            except OSError as error:
                failed[key] = error.strerror or type(error).__name__
            else:
                emptied[path.parent] = None
        for folder in {self._prune(folder) for folder in emptied}:
            # Gone means that another delete emptied it, and syncs what is above.
            with contextlib.suppress(FileNotFoundError):
                _sync_folder(folder)
        return failed

    def _prune(self, folder: Path) -> Path:
        """Remove `folder` and those above it as far as they are empty; returns the first that stays."""
        while folder != self.objects:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # another deleter was faster: go on above
            except OSError:
                break  # not empty
            folder = folder.parent
        return folder


@contextlib.contextmanager
def translated_os_errors() -> Iterator[None]:
    """Disk trouble as the contract's failures."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise StorageRefused("the key is too long for this file system") from error
        # Not str(error): it holds the path, hence the key.
        raise StorageUnavailable(f"the store's folder failed: {error.strerror}") from error


def _link_and_unlink(source: Path, target: Path) -> None:
    # link() refuses an existing name atomically, which rename() does not.
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise ObjectExists from error
    source.unlink(missing_ok=True)


def _make_folders(folder: Path, *, below: Path) -> None:
    """mkdir -p, with every new name made durable."""
    if folder.is_dir():
        return
    below.mkdir(parents=True, exist_ok=True)
    missing: list[Path] = []
    while folder != below and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        # Not `exist_ok`: that looks at the folder again, which a deleter may have taken away meanwhile.
        with contextlib.suppress(FileExistsError):
            each.mkdir()
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _packed(footer: _Footer) -> bytes:
    packed = _MAGIC + msgspec.json.encode(footer)
    if len(packed) > FOOTER_BYTES:
        raise StorageRefused("the content type is too long")
    return packed.ljust(FOOTER_BYTES)


def _unpacked(raw: bytes) -> _Footer:
    if not raw.startswith(_MAGIC):
        raise StorageUnavailable("a file in the store's folder is not an object of this store")
    return msgspec.json.decode(raw[len(_MAGIC) :], type=_Footer)


def _head(key: str, footer: _Footer, *, size_bytes: int, modified: float) -> ObjectHead:
    return ObjectHead(
        key=key,
        size_bytes=size_bytes,
        etag=footer.etag,
        content_type=footer.content_type,
        last_modified=datetime.fromtimestamp(modified, UTC),
        sha256=footer.sha256,
    )
