"""Multipart uploads as folders: the blocking part of the local store.

`multiparts/<id>/` contains `upload` (its key and type), a file like an object's for each part, and during
completion `plan` and `whole`. Completing appends part after part to `whole` and removes each as soon as it is
durable there, so the disk holds at most one part twice. `plan` lists the parts of `whole`, so that after a
crash the next caller continues. File systems that share blocks copy nothing.

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

_UPLOAD: Final = "upload"
_PLAN: Final = "plan"
_WHOLE: Final = "whole"
_is_id = re.compile(r"[0-9a-f]{32}").fullmatch
_is_part = re.compile(r"[0-9]{5}").fullmatch


class _Upload(msgspec.Struct, frozen=True):
    key: str
    content_type: str


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

    def create(self, key: str, *, content_type: str) -> str:
        """Begins an upload. Returns its id."""
        self._objects.check(key)
        upload_id = secrets.token_hex(16)
        self._root.mkdir(parents=True, exist_ok=True)
        self._objects.incoming.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._objects.incoming))
        _write_durably(folder / _UPLOAD, _Upload(key=key, content_type=content_type))
        folder.rename(self._root / upload_id)
        sync_folder(self._root)
        return upload_id

    def check(self, key: str, upload_id: str) -> None:
        """Raises MultipartMissing when there is no such upload of that key."""
        self._described(key, upload_id)

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
            (folder / _WHOLE).touch()
            sync_folder(folder)
            with (folder / _WHOLE).open("r+b", buffering=0) as whole:
                size_bytes = _join(folder, plan, whole=whole)
                finish(whole, Metadata(upload.content_type, size_bytes, _etag(plan), None))
            self._objects.place(folder / _WHOLE, key, replace=False)
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


def _join(folder: Path, plan: Sequence[StoredPart], *, whole: BinaryIO) -> int:
    """Appends the parts of the plan that `whole` lacks, from where an earlier attempt stopped. Returns its
    size.
    """
    offset = 0
    for part in plan:
        path = folder / f"{part.number:05d}"
        try:
            source = path.open("rb", buffering=0)
        except FileNotFoundError as error:
            offset += part.size_bytes
            if os.fstat(whole.fileno()).st_size < offset:
                raise MultipartMissing from error  # its object was made once, and deleted since
            continue
        with source:
            whole.truncate(offset)
            whole.seek(offset)
            append(source, part.size_bytes, whole=whole)
        os.fsync(whole.fileno())
        path.unlink()
        offset += part.size_bytes
    whole.truncate(offset)
    return offset


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
