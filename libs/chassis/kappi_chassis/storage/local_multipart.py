"""Multipart uploads as folders: the blocking part of the local store.

`multiparts/<id>/` contains `upload` (its key, type and size of parts), a file for each part, and `placed`
with the bytes of those parts that were written in their place (`local_slots`); their files are empty. During
completion it has a `plan`, which lists the parts, so that after a crash the next caller continues.

If the parts are those of `placed`, it becomes the object; the few parts with a file of their own are copied
to their place. Otherwise part after part is appended to `whole` and removed as soon as it is durable there.

Parts are placed under a shared lock; completing and aborting take an exclusive one (flock: it ends with its
process). Only completing waits for the lock: it has threads of its own, whereas other waiting calls would
block the whole store.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kappi_chassis.storage.contract import (
    MultipartMissing,
    ObjectExistsAlready,
    ObjectHead,
    StorageRefused,
    StorageUnavailable,
    StoredPart,
)
from kappi_chassis.storage.local_copy import append
from kappi_chassis.storage.local_files import ObjectTree
from kappi_chassis.storage.local_folders import sync_folder
from kappi_chassis.storage.local_metadata import Metadata, finish, read_metadata
from kappi_chassis.storage.local_paths import MULTIPARTS_FOLDER
from kappi_chassis.storage.local_slots import PLACED, PartSlot, claim_slot

_UPLOAD: Final = "upload"
_PLAN: Final = "plan"
_WHOLE: Final = "whole"
_is_id = re.compile(r"[0-9a-f]{32}").fullmatch
_is_part = re.compile(r"[0-9]{5}").fullmatch


class _Upload(msgspec.Struct, frozen=True):
    key: str
    content_type: str
    part_size_bytes: int | None = None


class MultipartTree:
    """The unfinished uploads of one folder."""

    def __init__(self, root: Path, objects: ObjectTree) -> None:
        self._root = root / MULTIPARTS_FOLDER
        self._objects = objects

    def prepare(self, *, stale_before: datetime) -> None:
        """Creates the folder and removes uploads without a new part since `stale_before`."""
        self._root.mkdir(parents=True, exist_ok=True)
        for folder in self._folders():
            # It ended meanwhile, or is in use and so not stale.
            with contextlib.suppress(FileNotFoundError, MultipartMissing, StorageUnavailable):
                if folder.stat().st_mtime < stale_before.timestamp():
                    self._drop(folder)

    def create(self, key: str, *, content_type: str, part_size_bytes: int | None = None) -> str:
        """Begins an upload. Returns its id. part_size_bytes: of each part but the last, if it is known."""
        self._objects.check(key)
        upload_id = secrets.token_hex(16)
        self._root.mkdir(parents=True, exist_ok=True)
        self._objects.incoming.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._objects.incoming))
        _write_durably(folder / _UPLOAD, _Upload(key, content_type, part_size_bytes))
        folder.rename(self._root / upload_id)
        sync_folder(self._root)
        return upload_id

    def check(self, key: str, upload_id: str) -> None:
        """Raises MultipartMissing when there is no such upload of that key."""
        self._described(key, upload_id)

    def slot(self, key: str, *, upload_id: str, number: int, size_bytes: int) -> PartSlot | None:
        """Returns the place of a part for its writer, if it has one that is free. Raises MultipartMissing."""
        folder, upload = self._described(key, upload_id)
        if upload.part_size_bytes is None:
            return None

        def is_open() -> bool:
            return not (folder / _PLAN).exists() and (folder / _UPLOAD).exists()

        try:
            return claim_slot(
                folder,
                number=number,
                size_bytes=size_bytes,
                part_size_bytes=upload.part_size_bytes,
                is_open=is_open,
            )
        except FileNotFoundError as error:
            raise MultipartMissing from error

    def place_part(self, finished: Path, key: str, *, upload_id: str, number: int) -> None:
        """Makes a finished file part `number`, in place of an earlier one.

        Raises MultipartMissing, StorageUnavailable (it is being completed now).
        """
        folder, _ = self._described(key, upload_id)
        with _locked(folder, fcntl.LOCK_SH | fcntl.LOCK_NB):
            if (folder / _PLAN).exists():
                raise MultipartMissing  # being completed: its parts are chosen
            os.replace(finished, folder / f"{number:05d}")
            sync_folder(folder)

    def parts(self, key: str, *, upload_id: str) -> tuple[StoredPart, ...]:
        """Returns the parts, by number. Raises MultipartMissing."""
        folder, _ = self._described(key, upload_id)
        with contextlib.suppress(FileNotFoundError):  # a part that was joined since its name was read
            stored = _stored(folder)
            if not (folder / _PLAN).exists():
                self.check(key, upload_id)  # otherwise its parts may have been removed with it
                return stored
        # The plan is written before the first part is removed, and removed only with the upload.
        planned = _planned(folder)
        if planned is None:
            raise MultipartMissing
        return planned

    def complete(self, key: str, *, upload_id: str, parts: Sequence[StoredPart]) -> ObjectHead:
        """Joins the parts to the object. Raises as `ObjectStore.complete_multipart` does."""
        folder, upload = self._described(key, upload_id)
        with _locked(folder, fcntl.LOCK_EX):
            if self._objects.exists(key):
                raise ObjectExistsAlready
            plan = _planned(folder)
            if plan is None:
                plan = _plan(folder, parts)
            elif _named(plan) != _named(parts):
                raise StorageRefused("the upload is being completed from other parts")
            in_place = _is_in_place(folder, plan, part_size_bytes=upload.part_size_bytes)
            whole_path = folder / (PLACED if in_place else _WHOLE)
            if not in_place:
                whole_path.touch()
                sync_folder(folder)
            with whole_path.open("r+b", buffering=0) as whole:
                fcntl.flock(whole, fcntl.LOCK_EX)  # until the last writer in its place sees the plan
                if in_place:
                    size_bytes = _fill_places(folder, plan, whole=whole)
                else:
                    size_bytes = _join(folder, plan, whole=whole, part_size_bytes=upload.part_size_bytes)
                os.utime(whole.fileno())  # the object is as old as its completion
                finish(whole, Metadata(upload.content_type, size_bytes, _etag(plan), None))
                self._objects.place(whole_path, key, replace=False)
                self._remove(folder)
        return self._objects.head(key)

    def abort(self, key: str, *, upload_id: str) -> bool:
        """Removes an upload. Returns whether there was one. Raises StorageUnavailable while it is being
        completed.
        """
        try:
            folder, _ = self._described(key, upload_id)
            self._drop(folder)
        except MultipartMissing:
            return False
        return True

    def abort_all(self, prefix: str) -> int:
        """Removes the uploads whose key begins with `prefix`. Returns the number removed."""
        dropped = 0
        for folder in self._folders():
            with contextlib.suppress(MultipartMissing):
                if _read_upload(folder).key.startswith(prefix):
                    self._drop(folder)
                    dropped += 1
        return dropped

    def _folders(self) -> list[Path]:
        try:
            return [self._root / name for name in os.listdir(self._root) if _is_id(name)]
        except FileNotFoundError:
            return []

    def _described(self, key: str, upload_id: str) -> tuple[Path, _Upload]:
        if not _is_id(upload_id):
            raise MultipartMissing
        folder = self._root / upload_id
        upload = _read_upload(folder)
        if upload.key != key:
            raise MultipartMissing
        return folder, upload

    def _drop(self, folder: Path) -> None:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        # One step removes it; what a crash leaves of the rest is removed with `incoming`.
        self._objects.incoming.mkdir(parents=True, exist_ok=True)
        trash = self._objects.incoming / f"ended-{folder.name}"
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Locks the upload while the body runs.

    Raises MultipartMissing when it ended before it was locked, StorageUnavailable when it is locked and
    `kind` does not wait.
    """
    path = folder / _UPLOAD
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise MultipartMissing from error
    try:
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError as error:
            raise StorageUnavailable("the upload is being completed or aborted") from error
        if not path.exists():
            raise MultipartMissing
        yield
    finally:
        os.close(descriptor)


def _read_upload(folder: Path) -> _Upload:
    try:
        return msgspec.json.decode((folder / _UPLOAD).read_bytes(), type=_Upload)
    except FileNotFoundError as error:
        raise MultipartMissing from error


def _stored(folder: Path) -> tuple[StoredPart, ...]:
    parts = (_stored_part(folder / name) for name in sorted(os.listdir(folder)) if _is_part(name))
    return tuple(part for part in parts if part is not None)


def _stored_part(path: Path) -> StoredPart | None:
    """Returns the part; None for a file without metadata, which a client sends again like a missing part."""
    with path.open("rb", buffering=0) as file:
        metadata = read_metadata(file.fileno())
    if metadata is None:
        return None
    return StoredPart(number=int(path.name), size_bytes=metadata.size_bytes, etag=metadata.etag)


def _planned(folder: Path) -> tuple[StoredPart, ...] | None:
    try:
        return msgspec.json.decode((folder / _PLAN).read_bytes(), type=tuple[StoredPart, ...])
    except FileNotFoundError:
        return None


def _plan(folder: Path, wanted: Sequence[StoredPart]) -> tuple[StoredPart, ...]:
    """Records the parts of the object. Returns the plan. Raises StorageRefused for a missing part."""
    there = {part.number: part for part in _stored(folder)}
    names = _named(wanted)
    if not names or len({number for number, _ in names}) != len(names):
        raise StorageRefused("an object is made of at least one part, each named once")
    if any(number not in there or there[number].etag != etag for number, etag in names):
        raise StorageRefused("a part is not there, or not what it is said to be")
    plan = tuple(there[number] for number, _ in names)
    _write_durably(folder / _PLAN, plan)
    return plan


def _named(parts: Sequence[StoredPart]) -> list[tuple[int, str]]:
    return sorted((part.number, part.etag) for part in parts)


def _is_in_place(folder: Path, plan: Sequence[StoredPart], *, part_size_bytes: int | None) -> bool:
    """Whether the places of the parts, one after the other, are the object."""
    if part_size_bytes is None or not (folder / PLACED).exists():
        return False
    numbers = [part.number for part in plan]
    return numbers == [*range(1, len(plan) + 1)] and all(
        part.size_bytes == part_size_bytes for part in plan[:-1]
    )


def _fill_places(folder: Path, plan: Sequence[StoredPart], *, whole: BinaryIO) -> int:
    """Copies the parts with a file of their own to their place. Returns the size of the whole."""
    offset = 0
    for part in plan:
        path = folder / f"{part.number:05d}"
        # A missing file was copied by an earlier attempt.
        if path.exists() and path.stat().st_size:
            with path.open("rb", buffering=0) as source:
                whole.seek(offset)
                append(source, part.size_bytes, whole=whole)
            os.fsync(whole.fileno())
            path.unlink()
        offset += part.size_bytes
    if os.fstat(whole.fileno()).st_size < offset:
        raise MultipartMissing  # the bytes of a part are gone, though its file is there
    whole.truncate(offset)
    return offset


def _join(folder: Path, plan: Sequence[StoredPart], *, whole: BinaryIO, part_size_bytes: int | None) -> int:
    """Appends the parts of the plan that `whole` lacks, from where an earlier attempt stopped. Returns its
    size.
    """
    offset = 0
    for part in plan:
        try:
            path, start = _bytes_of(folder, part, part_size_bytes=part_size_bytes)
            source = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            offset += part.size_bytes
            if os.fstat(whole.fileno()).st_size < offset:
                raise MultipartMissing from error  # its object was made once, and deleted since
            continue
        with source:
            whole.truncate(offset)
            whole.seek(offset)
            append(source, part.size_bytes, whole=whole, start=start)
        os.fsync(whole.fileno())
        (folder / f"{part.number:05d}").unlink()
        offset += part.size_bytes
    whole.truncate(offset)
    return offset


def _bytes_of(folder: Path, part: StoredPart, *, part_size_bytes: int | None) -> tuple[Path, int]:
    """Returns the file with the bytes of a part, and their offset. Raises FileNotFoundError."""
    own = folder / f"{part.number:05d}"
    if part_size_bytes is None or own.stat().st_size:
        return own, 0
    return folder / PLACED, (part.number - 1) * part_size_bytes


def _etag(plan: Sequence[StoredPart]) -> str:
    """Returns the ETag as S3 makes it: the MD5 of the parts' MD5s, and the number of parts."""
    joined = b"".join([bytes.fromhex(part.etag) for part in plan])
    return f"{md5(joined, usedforsecurity=False).hexdigest()}-{len(plan)}"


def _write_durably(path: Path, content: object) -> None:
    """Writes a file that appears whole or not at all."""
    written = path.with_suffix(".new")
    with written.open("wb") as file:
        file.write(msgspec.json.encode(content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(written, path)
    sync_folder(path.parent)
