"""The journal of an unfinished upload, in a file that only its owner can read.

It is written before each call that must not happen twice, and after each answer that must not be lost. So a
process that is killed at any moment finds the gallery, its access key and every upload again. The file
holds the access key, and is deleted when the upload is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from kappi_client.errors import KappiError
from kappi_client.files import LocalFile
from kappi_client.galleries import Gallery, NewGallery
from kappi_client.private_file import write_private

_VERSION = 1
_SAVED_EVERY_S = 1.0


class UploadRunning(KappiError):
    """Another process uploads the same files to the same place at this moment."""


class JournalUnwritable(KappiError):
    """The journal cannot be written. It is no OSError, since those are about a file to upload."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two uploads the same upload.

    paths: absolute. title, expires_in_s, private: of a new gallery. account: email of its owner. gallery:
    id of an existing one.
    """

    base_url: str
    paths: tuple[str, ...]
    title: str | None
    expires_in_s: int | None
    account: str | None = None
    private: bool = False
    gallery: str | None = None

    @classmethod
    def of(
        cls, base_url: str, paths: Iterable[Path], gallery: Gallery | NewGallery, *, account: str | None
    ) -> Identity:
        """Returns the identity of an upload of `paths` into a gallery."""
        absolute = tuple(str(path.resolve()) for path in paths)
        if isinstance(gallery, Gallery):
            return cls(base_url, absolute, None, None, account=account, gallery=gallery.id)
        return cls(
            base_url,
            absolute,
            gallery.title,
            gallery.expires_in_s,
            account=account,
            private=gallery.private,
        )

    @property
    def name(self) -> str:
        """The journal's file name without its suffix."""
        fields = asdict(self)
        if self.gallery is None:
            del fields["gallery"]  # journals of earlier versions are found
        text = json.dumps(fields, ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Known:
    """A file as it was hashed, and its upload. parts: ETags of acknowledged parts, by part number."""

    size_bytes: int
    modified_ns: int
    sha256: str
    upload_id: str | None = None
    media_id: str | None = None
    completed: bool = False
    parts: dict[str, str] = field(default_factory=dict)

    def still_is(self, file: LocalFile) -> bool:
        """Whether the file is unchanged by size and modification time."""
        return (self.size_bytes, self.modified_ns) == (file.size_bytes, file.modified_ns)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A call that declares a batch, kept so that it can be repeated. paths: of its files."""

    idempotency_key: str
    paths: Sequence[str]
    body: Mapping[str, Any]


@dataclass(slots=True)
class Note:
    """The content of a journal. creation_key: Idempotency-Key of the call that creates the gallery."""

    begun_at: str
    creation_key: str
    gallery: Mapping[str, Any] | None = None
    declaration: Declaration | None = None
    files: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def new(cls) -> Note:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(begun_at=now, creation_key=secrets.token_hex(16))


class Journal:
    """The journal of one upload. path None keeps it in memory. clock: monotonic seconds."""

    def __init__(self, path: Path | None, note: Note, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._saved_at = 0.0
        self.note = note

    def known(self, file: LocalFile) -> Known | None:
        """Returns the entry of an unchanged file, or None."""
        known = self.note.files.get(_name(file.path))
        return known if known is not None and known.still_is(file) else None

    def changed(self, file: LocalFile) -> Known | None:
        """Returns the entry of a file that has changed since, or None."""
        known = self.note.files.get(_name(file.path))
        return known if known is not None and not known.still_is(file) else None

    def remember(self, file: LocalFile, sha256: str) -> Known:
        """Replaces the entry of the file. The call that declares the file saves it."""
        known = Known(file.size_bytes, file.modified_ns, sha256)
        self.note.files[_name(file.path)] = known
        return known

    def declares(self, idempotency_key: str, files: Sequence[LocalFile], body: Mapping[str, Any]) -> None:
        """Notes a declaration before the call."""
        paths = [_name(file.path) for file in files]
        self.note.declaration = Declaration(idempotency_key, paths, body)
        self.save()

    def declared(self, uploads: Sequence[Mapping[str, Any]]) -> None:
        """Notes the answer of the declaration; empty where it was refused."""
        if self.note.declaration is not None:
            for path, upload in zip(self.note.declaration.paths, uploads, strict=False):
                if (known := self.note.files.get(path)) is not None:
                    known.upload_id, known.media_id = upload["id"], upload["media_id"]
                    known.completed = False
                    known.parts.clear()
        self.note.declaration = None
        self.save()

    def completed(self, known: Known) -> None:
        """Notes a complete file. Saved once a second at most, since the server can be asked."""
        known.completed = True
        self._save_sometimes()

    def acknowledged(self, known: Known) -> PartsNoted:
        """Returns the parts of the upload. They are saved once a second at most."""
        return PartsNoted(known.parts, self._save_sometimes)

    def _save_sometimes(self) -> None:
        if self._clock() - self._saved_at > _SAVED_EVERY_S:
            self.save()

    def drop(self, file: LocalFile) -> None:
        """Deletes the entry of a refused file, so that the next run declares it anew."""
        self.note.files.pop(_name(file.path), None)

    def save(self) -> None:
        """Writes the file in one step. Raises JournalUnwritable."""
        self._saved_at = self._clock()
        if self._path is None:
            return
        try:
            write_private(self._path, json.dumps({"version": _VERSION, **asdict(self.note)}))
        except OSError as error:
            raise JournalUnwritable(error.strerror or str(error)) from error

    def delete(self) -> None:
        """Deletes the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            for draft in self._path.parent.glob(f".{self._path.name}.*"):
                draft.unlink(missing_ok=True)  # of a killed process


class PartsNoted:
    """ETags of one upload's parts, see `parts.Acknowledged`. changed: called after each note."""

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
    """The folder of all journals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, identity: Identity, *, anew: bool = False) -> Iterator[Journal]:
        """Opens the journal of an upload for this process alone. anew: whatever an earlier run noted.

        Raises UploadRunning, JournalUnwritable.
        """
        with ExitStack() as held:
            try:
                path = held.enter_context(self.held(identity))
                note = None if anew else read_note(path)
            except OSError as error:
                raise JournalUnwritable(error.strerror or str(error)) from error
            yield Journal(path, note or Note.new())

    @contextmanager
    def held(self, identity: Identity) -> Iterator[Path]:
        """The journal's path, locked for this process. Raises UploadRunning, OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{identity.name}.json"
        lock_path = path.with_suffix(".lock")
        with lock_path.open("ab") as lock:
            if not _locked(lock, lock_path):
                raise UploadRunning("these files are being shared by another kappi share at this moment")
            try:
                yield path
            finally:
                if not path.exists():
                    lock_path.unlink(missing_ok=True)


def read_note(path: Path) -> Note | None:
    """Returns the journal's content, or None where there is none that can be read. Raises OSError."""
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
    """Returns the folder: in KAPPI_DATA_DIR if that is set, else in the user's folder for state (XDG)."""
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
        # A process that has just ended deletes its lock file: a lock on that excludes no other process.
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
