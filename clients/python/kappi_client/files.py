"""Local files: which ones to upload, and safe names for downloads."""

from __future__ import annotations

import errno
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kappi_client.formats import CAMERA_RAW, CONTENT_TYPES, HEAD_BYTES, UNKNOWN, content_type_of
from kappi_client.sidecars import SIDECAR_TYPE, is_sidecar, pictures_of_sidecars

_CHUNK_BYTES = 1 << 20
_LONGEST_NAME_BYTES = 200  # leaves room for " (12)" within the 255 most file systems allow


class FileChanged(Exception):
    """A file has changed since it was found; the message says how."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload. size_bytes, modified_ns: when it was found. picture: of an XMP sidecar, the picture
    that it belongs to.
    """

    path: Path
    size_bytes: int
    content_type: str
    modified_ns: int
    picture: Path | None = None

    def must_be_unchanged(self, now: os.stat_result) -> None:
        """Raises FileChanged when the file was written to, so that its checksum is not valid any more."""
        if now.st_size < self.size_bytes:
            raise FileChanged("it became shorter while it was shared")
        if now.st_size > self.size_bytes:
            raise FileChanged("it became longer while it was shared")
        if now.st_mtime_ns != self.modified_ns:
            raise FileChanged("it was changed while it was shared")


@dataclass(frozen=True, slots=True)
class Found:
    """files: to upload, in order, each XMP sidecar behind its picture. skipped: files in folders that are
    neither photo nor video. alone: XMP sidecars that belong to no picture.
    """

    files: list[LocalFile]
    skipped: list[Path]
    alone: list[Path]


def find_files(given: Iterable[Path]) -> Found:
    """Finds the given files, and photos and videos in the given folders, each file once.

    A given file is included whatever its name, since the server decides by content; but XMP sidecars only
    with a picture in the same folder. Raises OSError for a file that cannot be read.
    """
    files: dict[Path, LocalFile] = {}
    skipped: list[Path] = []
    for path in given:
        if not path.is_dir():
            files.setdefault(path.resolve(), _local_file(path))
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                inside = Path(folder, name)
                if name.startswith(".") or not inside.is_file():
                    continue
                try:
                    file = _local_file(inside)
                except OSError:
                    if inside.suffix.lower() in CONTENT_TYPES:
                        raise
                    file = None
                if file is None or file.content_type == UNKNOWN:
                    skipped.append(inside)
                else:
                    files.setdefault(inside.resolve(), file)
    return _with_sidecars(list(files.values()), skipped)


def _with_sidecars(files: Sequence[LocalFile], skipped: list[Path]) -> Found:
    pictures = pictures_of_sidecars(files)
    sidecars = {picture: sidecar for sidecar, picture in pictures.items()}
    by_path = {file.path: file for file in files}
    ordered = []
    for file in files:
        if is_sidecar(file.path):
            continue
        ordered.append(file)
        if (sidecar := sidecars.get(file.path)) is not None:
            ordered.append(replace(by_path[sidecar], picture=file.path))
    alone = [file.path for file in files if is_sidecar(file.path) and file.path not in pictures]
    return Found(ordered, skipped, alone)


def sha256_of(
    path: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
    unwanted: Callable[[], bool] = lambda: False,
) -> str:
    """Returns the SHA-256 in hexadecimal. progress: gets the bytes of each chunk. unwanted: ends it early."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while (chunk := file.read(_CHUNK_BYTES)) and not unwanted():
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def declared_name(path: Path) -> str:
    """Returns the file's name as text for the server. File systems allow any bytes."""
    return os.fsencode(path.name).decode(errors="replace")[-255:]


def safe_name(name: str) -> str:
    """Returns a file name that stays in its folder and has no invisible characters."""
    # Direction overrides and other invisible characters can make `gpj.exe` read `exe.jpg`.
    visible = "".join(
        "_"
        if character in '/\\:*?"<>|' or unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else character
        for character in unicodedata.normalize("NFC", name)
    )
    stem, dot, extension = visible.strip().rstrip(". ").rpartition(".")
    if not stem:
        stem, dot, extension = extension, "", ""
    room = _LONGEST_NAME_BYTES - len((dot + extension).encode())
    stem = stem.encode()[: max(room, 16)].decode(errors="ignore").strip()
    cleaned = f"{stem}{dot}{extension}".lstrip(".")[:_LONGEST_NAME_BYTES]
    return cleaned or "unnamed"


class NameBook:
    """Gives each item of a gallery a different file name, ignoring case (macOS, Windows)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def is_free(self, wanted: str) -> bool:
        return safe_name(wanted).casefold() not in self._taken

    def take(self, wanted: str) -> str:
        name = safe_name(wanted)
        stem, suffix = os.path.splitext(name)
        number = 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem} ({number}){suffix}"
        self._taken.add(name.casefold())
        return name


def _local_file(path: Path) -> LocalFile:
    """Reads the facts of a file. Raises OSError."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
        raise OSError(errno.EINVAL, "this is neither a file nor a folder", str(path))
    with path.open("rb") as file:  # it fails now, not in the middle of an upload
        found = os.fstat(file.fileno())
        by_content = content_type_of(file.read(HEAD_BYTES))
    # The name counts where the content is unknown. The server then says what is wrong with the content.
    by_name = CONTENT_TYPES.get(path.suffix.lower(), UNKNOWN)
    content_type = by_content or by_name
    if by_content == "image/tiff" and by_name in CAMERA_RAW:
        content_type = by_name  # most camera RAW begins as TIFF does
    if is_sidecar(path):
        content_type = SIDECAR_TYPE
    return LocalFile(path, found.st_size, content_type, found.st_mtime_ns)
