"""What one unfinished share must not forget, in a file of its owner's alone.

It is written before a call that must not be made twice, and after one whose answer must not be lost: whatever
moment the process is killed at, the same command finds the gallery, its key and every upload again. It holds
the access key, so it is readable by its owner only, and gone once everything is shared.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from kappi_embedded.client.files import LocalFile
from kappi_embedded.data_dir import write_private

_VERSION = 1
_SAVED_EVERY_S = 1.0


class SharedAlready(Exception):
    """Another process shares the same files at this moment."""


class JournalUnwritable(Exception):
    """The note cannot be kept; the message says why. No OSError: those are a shared file's own."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a command the same command again. paths: absolute, as they were given. account: whose
    gallery it becomes."""

    base_url: str
    paths: tuple[str, ...]
    title: str | None
    expires_in_s: int | None
    account: str | None = None
    private: bool = False

    @property
    def name(self) -> str:
        text = json.dumps(asdict(self), ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Known:
    """A file as it was hashed, and its upload once there is one. parts: ETags of those acknowledged."""

    size_bytes: int
    modified_ns: int
    sha256: str
    upload_id: str | None = None
    media_id: str | None = None
    completed: bool = False
    parts: dict[str, str] = field(default_factory=dict)

    def still_is(self, file: LocalFile) -> bool:
        return (self.size_bytes, self.modified_ns) == (file.size_bytes, file.modified_ns)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A call that signs a batch, as it is made and, the answer being lost, repeated. paths: of its files."""

    idempotency_key: str
    paths: Sequence[str]
    body: Mapping[str, Any]


@dataclass(slots=True)
class Note:
    """All of it. creation_key: of the call that makes the gallery."""

    begun_at: str
    creation_key: str
    gallery: Mapping[str, Any] | None = None
    declaration: Declaration | None = None
    files: dict[str, Known] = field(default_factory=dict)


class Journal:
    """One share's note; path None keeps it in memory. clock: monotonic seconds."""

    def __init__(self, path: Path | None, note: Note, *, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._saved_at = 0.0
        self.note = note

    def known(self, file: LocalFile) -> Known | None:
        """What is known of the file, if it is what it was."""
        known = self.note.files.get(_name(file.path))
        return known if known is not None and known.still_is(file) else None

    def changed(self, file: LocalFile) -> Known | None:
        """What is known of it from before it was changed."""
        known = self.note.files.get(_name(file.path))
        return known if known is not None and not known.still_is(file) else None

    def remember(self, file: LocalFile, sha256: str) -> Known:
        """Replaces what was known. Not saved: the call that declares it saves."""
        known = Known(file.size_bytes, file.modified_ns, sha256)
        self.note.files[_name(file.path)] = known
        return known

    def declares(self, idempotency_key: str, files: Sequence[LocalFile], body: Mapping[str, Any]) -> None:
        """Before the call."""
        paths = [_name(file.path) for file in files]
        self.note.declaration = Declaration(idempotency_key, paths, body)
        self.save()

    def declared(self, uploads: Sequence[Mapping[str, Any]]) -> None:
        """Its answer; empty where it was refused."""
        if self.note.declaration is not None:
            for path, upload in zip(self.note.declaration.paths, uploads, strict=False):
                if (known := self.note.files.get(path)) is not None:
                    known.upload_id, known.media_id = upload["id"], upload["media_id"]
                    known.parts.clear()
        self.note.declaration = None
        self.save()

    def completed(self, known: Known) -> None:
        """Saved now and then only: what is not remembered is asked for."""
        known.completed = True
        self._save_now_and_then()

    def acknowledged(self, known: Known) -> PartsNoted:
        """The parts of its upload; saved now and then only."""
        return PartsNoted(known.parts, self._save_now_and_then)

    def _save_now_and_then(self) -> None:
        if self._clock() - self._saved_at > _SAVED_EVERY_S:
            self.save()

    def drop(self, file: LocalFile) -> None:
        """It was refused: the next run tries it as a new one. Saved with the next."""
        self.note.files.pop(_name(file.path), None)

    def save(self) -> None:
        """In one step, as of this moment. Raises JournalUnwritable."""
        self._saved_at = self._clock()
        if self._path is None:
            return
        try:
            write_private(self._path, json.dumps({"version": _VERSION, **asdict(self.note)}))
        except OSError as error:
            raise JournalUnwritable(error.strerror or str(error)) from error

    def forget(self) -> None:
        """Everything is done, or begun anew."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            for draft in self._path.parent.glob(f".{self._path.name}.*"):
                draft.unlink(missing_ok=True)  # of a process that was killed while it wrote


class PartsNoted:
    """ETags of one upload's parts, see `present_parts.Acknowledged`. changed: called after each note."""

    def __init__(self, etags: dict[str, str], changed: Callable[[], None]) -> None:
        self._etags = etags
        self._changed = changed

    def etag_of(self, number: int) -> str | None:
        return self._etags.get(str(number))

    def note(self, number: int, etag: str) -> None:
        if etag and self._etags.get(str(number)) != etag:
            self._etags[str(number)] = etag
            self._changed()


class Journals:
    """The folder of all notes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self, identity: Identity) -> Iterator[Path]:
        """The note's path, nobody else's meanwhile. Raises SharedAlready, OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{identity.name}.json"
        lock_path = path.with_suffix(".lock")
        with lock_path.open("ab") as lock:
            if not _locked(lock, lock_path):
                raise SharedAlready("these files are being shared by another kappi share at this moment")
            try:
                yield path
            finally:
                if not path.exists():
                    lock_path.unlink(missing_ok=True)


def read_note(path: Path) -> Note | None:
    """None: there is none, or none that can be understood. Raises OSError."""
    try:
        found = json.loads(path.read_text())
        if found.pop("version") != _VERSION:
            return None
        files = {name: Known(**known) for name, known in found.pop("files").items()}
        declaration = found.pop("declaration")
        return Note(
            **found, files=files, declaration=Declaration(**declaration) if declaration is not None else None
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def journals_folder(environ: Mapping[str, str]) -> Path:
    """In the data folder where one is named, else where the system keeps what programs must not forget."""
    if data_dir := environ.get("KAPPI_DATA_DIR"):
        return Path(data_dir, "shares")
    state = environ.get("XDG_STATE_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(state) if os.path.isabs(state) else home / ".local" / "state") / "kappi" / "shares"


def _name(path: Path) -> str:
    return str(path.absolute())


def _locked(file: IO[bytes], path: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A predecessor that ended just now took its file away: a lock on that keeps nobody out.
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
