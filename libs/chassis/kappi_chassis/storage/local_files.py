"""Objects as files: the blocking part of the local store.

One object is one file that contains the bytes of the object and no others, so that a copy of the folder is a
copy of the uploaded files. Content type, ETag and SHA-256 are an attribute of the file (`local_metadata`).
One atomic step (link or rename) makes the object appear whole, with its metadata, or not at all; a separate
file of metadata would need two steps and a second fsync. ADR-0041.

Tags change while the object does not. They are files in a separate tree, and contain the ETag of their
object, so that tags left over from another object are ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from kappi_chassis.storage.contract import ObjectHead, ObjectMissing, StorageUnavailable
from kappi_chassis.storage.local_copy import append
from kappi_chassis.storage.local_folders import KeyedFolder, link_and_unlink
from kappi_chassis.storage.local_metadata import (
    Metadata,
    check_attributes,
    etag_of,
    finish,
    head_of,
    metadata_of,
)
from kappi_chassis.storage.local_migration import needs_migration
from kappi_chassis.storage.local_paths import FILES_FOLDER
from kappi_chassis.storage.local_slots import PartSlot
from kappi_chassis.storage.local_space import SpaceReservation


class _Tags(msgspec.Struct, frozen=True):
    etag: str
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object being read. Its reader sees it whole even when it is replaced or deleted meanwhile."""

    file: BinaryIO
    head: ObjectHead

    def read_at(self, offset: int, length: int) -> bytes:
        """Returns at most `length` bytes."""
        return os.pread(self.file.fileno(), length, offset) if length > 0 else b""

    def close(self) -> None:
        self.file.close()


class ObjectWriter:
    """An object, or a part of one, being written; invisible until published. It is not thread-safe."""

    def __init__(
        self,
        tree: ObjectTree,
        key: str,
        *,
        content_type: str,
        room: SpaceReservation,
        hashed_by: Literal["sha256", "md5"] = "sha256",
        slot: PartSlot | None = None,
    ) -> None:
        """Opens a new file. hashed_by: the digest of the ETag. MD5 is for a part whose sender declares it.

        room: for what will be written; `discard` releases it. slot: the place of a part's bytes, if it has
        one; its file is then empty.
        """
        self._tree = tree
        self._key = key
        self._content_type = content_type
        self._room = room
        self._slot = slot
        tree.check(key)
        self._file, self._temporary = tree.temporary_file()
        self._digest = hashlib.new(hashed_by, usedforsecurity=False)
        self.size_bytes = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Writes a chunk. Raises StorageFull."""
        self._room.spend(len(chunk))
        (self._slot or self._file).write(chunk)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)

    def digest(self) -> bytes:
        """Returns the hash of what was written so far."""
        return self._digest.digest()

    def publish(self, *, replace: bool) -> ObjectHead:
        """Makes the file durable and visible as the object. Raises ObjectExistsAlready unless `replace`."""
        metadata, modified = self._finish()
        self._tree.place(self._temporary, self._key, replace=replace)
        return ObjectHead(
            key=self._key,
            size_bytes=self.size_bytes,
            etag=metadata.etag,
            content_type=metadata.content_type,
            last_modified=datetime.fromtimestamp(modified, UTC),
            sha256=metadata.sha256,
        )

    def publish_to(self, place: Callable[[Path], None]) -> str:
        """Makes the file durable and lets `place` move it to its final path. Returns the ETag."""
        metadata, _ = self._finish()
        place(self._temporary)
        return metadata.etag

    def discard(self) -> None:
        """Removes what was written; harmless after publishing."""
        self._room.release()
        if self._slot is not None:
            self._slot.release()
        with contextlib.suppress(OSError):  # closing writes the buffer, for which there may be no room
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _finish(self) -> tuple[Metadata, float]:
        digest = self.digest()
        metadata = Metadata(
            content_type=self._content_type,
            size_bytes=self.size_bytes,
            etag=etag_of(digest),
            sha256=digest if self._digest.name == "sha256" else None,
        )
        if self._slot is not None:
            self._slot.sync()
        finish(self._file, metadata)
        modified = os.fstat(self._file.fileno()).st_mtime
        self._file.close()
        return metadata, modified


class ObjectTree:
    """The folder of a store: `files/` contains the objects, `tags/` their tags, `incoming/` what is being
    written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.objects = root / FILES_FOLDER
        self._files = KeyedFolder(self.objects)
        self._tags = KeyedFolder(root / "tags")
        self.incoming = root / "incoming"

    def prepare(self, *, stale_before: datetime) -> None:
        """Creates the folders and removes what writers left that died before `stale_before`.

        Raises StorageUnavailable for a folder that cannot be used, OSError.
        """
        if needs_migration(self._root):
            raise StorageUnavailable("the folder is of an older version: `kappi up` migrates it")
        self.objects.mkdir(parents=True, exist_ok=True)
        self.incoming.mkdir(exist_ok=True)
        check_attributes(self.incoming)
        for leftover in self.incoming.iterdir():
            # another process removes leftovers too, or it was published
            with contextlib.suppress(FileNotFoundError):
                if leftover.stat().st_mtime >= stale_before.timestamp():
                    continue
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink()

    def temporary_file(self) -> tuple[BinaryIO, Path]:
        """Returns a new private file for writing an object."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self.incoming)
        except FileNotFoundError:
            self.incoming.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.incoming)
        return os.fdopen(descriptor, "wb"), Path(name)

    def check(self, key: str) -> None:
        """Raises StorageRefused for a key that no store accepts."""
        self._files.path(key)

    def place(self, finished: Path, key: str, *, replace: bool) -> None:
        """Makes a finished file the object. Raises ObjectExistsAlready when there is one and `replace` is
        false.
        """
        if replace:
            self._forget_tags([key])
        self._files.place(finished, self._files.path(key), os.replace if replace else link_and_unlink)

    def copy(self, source: str, target: str, *, given_up: Callable[[], bool]) -> ObjectHead:
        """See `ObjectStore.copy`; its duration depends on the size. given_up: see `local_copy.append`."""
        self.check(target)
        opened = self.open(source)  # stays whole when it is replaced or deleted meanwhile
        try:
            if source == target:
                return opened.head
            tags = self._tags_of(opened.head)
            if self.head(source).etag != opened.head.etag:  # then its tags may be gone too
                raise StorageUnavailable("the source was replaced while it was copied")
            file, temporary = self.temporary_file()
            try:
                with file:
                    append(opened.file, opened.head.size_bytes, whole=file, given_up=given_up)
                    finish(file, metadata_of(opened.head))
                    copied_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
                if given_up():
                    raise StorageUnavailable("the copy was given up")
                self._place_copy(temporary, target, etag=opened.head.etag, tags=tags)
            finally:
                temporary.unlink(missing_ok=True)
        finally:
            opened.close()
        return replace(opened.head, key=target, last_modified=copied_at)

    def _place_copy(self, finished: Path, key: str, *, etag: str, tags: Mapping[str, str]) -> None:
        # Tags are written first, so that the copy is never visible without them. An object that is there
        # until then has another ETag, or the same bytes.
        if tags:
            self._write_tags(key, _Tags(etag=etag, tags=dict(tags)))
        else:
            self._forget_tags([key])
        self._files.place(finished, self._files.path(key), os.replace)

    def open(self, key: str) -> OpenObject:
        """Returns an object opened for reading. Raises ObjectMissing."""
        try:
            file = self._files.path(key).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ObjectMissing(key) from error
        try:
            return OpenObject(file, head_of(key, file))
        except BaseException:
            file.close()
            raise

    def head(self, key: str) -> ObjectHead:
        """Returns the head of an object. Raises ObjectMissing."""
        opened = self.open(key)
        opened.close()
        return opened.head

    def exists(self, key: str) -> bool:
        return self._files.path(key).exists()

    def delete(self, keys: Iterable[str]) -> dict[str, str]:
        """Deletes objects; missing ones count as deleted. Returns key -> reason for those that could not be
        deleted.
        """
        keys = list(keys)
        failed = self._files.remove(keys)
        self._forget_tags(key for key in keys if key not in failed)
        return failed

    def tags(self, key: str) -> dict[str, str]:
        """Returns the tags of an object. Raises ObjectMissing."""
        return self._tags_of(self.head(key))

    def _tags_of(self, head: ObjectHead) -> dict[str, str]:
        try:
            kept = msgspec.json.decode(self._tags.path(head.key).read_bytes(), type=_Tags)
        except FileNotFoundError:
            return {}
        return kept.tags if kept.etag == head.etag else {}

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Replaces the tags of an object. Raises ObjectMissing."""
        self._write_tags(key, _Tags(etag=self.head(key).etag, tags=dict(tags)))
        if not self.exists(key):  # deleted meanwhile, with its tags removed before these were written
            self._forget_tags([key])
            raise ObjectMissing(key)

    def _write_tags(self, key: str, tags: _Tags) -> None:
        file, temporary = self.temporary_file()
        try:
            with file:
                file.write(msgspec.json.encode(tags))
                file.flush()
                os.fsync(file.fileno())
            self._tags.place(temporary, self._tags.path(key), os.replace)
        finally:
            temporary.unlink(missing_ok=True)

    def _forget_tags(self, keys: Iterable[str]) -> None:
        # Most objects have no tags. Tags that cannot be removed are ignored, because of their ETag.
        self._tags.remove([key for key in keys if self._tags.path(key).exists()])
