"""Local files: what to share, and safe names for what comes in."""

from __future__ import annotations

import errno
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kappi_mediameta.probing.sniffing import SNIFF_BYTES, sniff

CONTENT_TYPES = {
    ".3g2": "video/3gpp2",
    ".3gp": "video/3gpp",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".hif": "image/heic",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4v": "video/x-m4v",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
_UNKNOWN_TYPE = "application/octet-stream"
_CHUNK_BYTES = 1 << 20
_LONGEST_NAME_BYTES = 200  # leaves room for " (12)" within the 255 most file systems allow


class FileChanged(Exception):
    """A file is not what it was when it was found; the message says how."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to share. size_bytes, modified_ns: when it was found."""

    path: Path
    size_bytes: int
    content_type: str
    modified_ns: int

    def must_be_unchanged(self, now: os.stat_result) -> None:
        """Raises FileChanged: somebody wrote to it, and no checksum of it holds any more."""
        if now.st_size < self.size_bytes:
            raise FileChanged("it became shorter while it was shared")
        if now.st_size > self.size_bytes:
            raise FileChanged("it became longer while it was shared")
        if now.st_mtime_ns != self.modified_ns:
            raise FileChanged("it was changed while it was shared")


@dataclass(frozen=True, slots=True)
class Found:
    """files: to share, in order. skipped: in folders, and neither photo nor video by content or name."""

    files: list[LocalFile]
    skipped: list[Path]


def find_files(given: Iterable[Path]) -> Found:
    """Files as named, folders with all in them, each file once. Raises OSError for what cannot be read.

    A file named by the caller is shared whatever its name: the server judges by content.
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
                if file is None or file.content_type == _UNKNOWN_TYPE:
                    skipped.append(inside)
                else:
                    files.setdefault(inside.resolve(), file)
    return Found(list(files.values()), skipped)


def sha256_of(
    path: Path,
    *,
    progress: Callable[[int], None] = lambda _: None,
    unwanted: Callable[[], bool] = lambda: False,
) -> str:
    """Hexadecimal; of the beginning only, once it is unwanted. progress: told the bytes of each chunk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while (chunk := file.read(_CHUNK_BYTES)) and not unwanted():
            digest.update(chunk)
            progress(len(chunk))
    return digest.hexdigest()


def told_name(path: Path) -> str:
    """The file's name as it is told to the server, whatever bytes the file system has for it."""
    return os.fsencode(path.name).decode(errors="replace")[-255:]


def safe_name(name: str) -> str:
    """A file name that stays in its folder and shows what it is, from whatever a stranger called a file."""
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
    """Gives each item of a gallery a file name of its own, case-insensitively (macOS, Windows)."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

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
    """Raises OSError."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
        raise OSError(errno.EINVAL, "this is neither a file nor a folder", str(path))
    with path.open("rb") as file:  # now, rather than in the middle of an upload
        found = os.fstat(file.fileno())
        content = sniff(file.read(SNIFF_BYTES))
    # A name is asked only where the content tells nothing: then the server says what is wrong with it.
    by_name = CONTENT_TYPES.get(path.suffix.lower(), _UNKNOWN_TYPE)
    content_type = content.content_type if content is not None else by_name
    return LocalFile(path, found.st_size, content_type, found.st_mtime_ns)
