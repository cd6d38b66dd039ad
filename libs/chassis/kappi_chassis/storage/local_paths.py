"""Object keys as file paths: any key is possible, no path leaves the root, and a prefix is a folder.

A key's segments become directories and its last one a file. Bytes that some file system treats specially
(upper case on macOS, non-ASCII that is normalised, a leading dot, control characters) are percent-encoded, so
different keys are different files everywhere. Three names cannot result from that encoding and carry
structure: `%.` ends the file of an object, which keeps `a` and `a/b` apart; `%_` is an empty segment; `%+`
ends a directory whose name continues inside it, for segments longer than a file name may be.
"""

from __future__ import annotations

import re
from pathlib import Path

from kappi_chassis.storage.contract import StorageRefused

MAX_KEY_BYTES = 1024
"""S3's limit, kept here too so that a key which works locally works everywhere."""

FILES_FOLDER = "files"
"""The folder of the objects. Older versions kept theirs in `objects/` (see `local_migration`)."""
MULTIPARTS_FOLDER = "multiparts"

OBJECT_SUFFIX = "%."
CONTINUED_SUFFIX = "%+"
_EMPTY = "%_"
# File systems allow 255 bytes; room is left for a suffix.
_MAX_NAME_CHARS = 200

_plain_segment = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,199}").fullmatch
_SAFE_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")
_ENCODED = [chr(byte) if byte in _SAFE_BYTES else f"%{byte:02x}" for byte in range(256)]
_escape = re.compile(rb"%([0-9a-f]{2})")


def object_path(root: Path, key: str) -> Path:
    """Returns the file of the object `key`. Raises StorageRefused for a key that no store accepts."""
    *folders, name = _segments(key)
    return root.joinpath(*_directories(folders), *_names(name, suffix=OBJECT_SUFFIX))


def prefix_folder(root: Path, prefix: str) -> tuple[Path, bytes]:
    """Returns the deepest folder that contains everything under `prefix`, and the part of the key for which
    it stands.
    """
    folder, slash, _ = prefix.rpartition("/")
    if not slash:
        return root, b""
    return root.joinpath(*_directories(_segments(folder, empty_allowed=True))), f"{folder}/".encode()


def decoded_name(name: str) -> bytes:
    """Returns the bytes of a key for which a directory entry stands. The entry's suffix is already
    removed.
    """
    if name == _EMPTY:
        return b""
    return _escape.sub(lambda match: bytes.fromhex(match[1].decode()), name.encode())


def _segments(key: str, *, empty_allowed: bool = False) -> list[str]:
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError as error:
        raise StorageRefused("an object key must be valid Unicode") from error
    if size_bytes > MAX_KEY_BYTES or (not key and not empty_allowed):
        raise StorageRefused(f"an object key is 1 to {MAX_KEY_BYTES} bytes of UTF-8")
    return key.split("/")


def _directories(segments: list[str]) -> list[str]:
    return [name for segment in segments for name in _names(segment, suffix="")]


def _names(segment: str, *, suffix: str) -> list[str]:
    """Returns one segment as path components: a single one unless it is too long for a file name."""
    if _plain_segment(segment):
        return [segment + suffix]
    if not segment:
        return [_EMPTY + suffix]
    units = [_ENCODED[byte] for byte in segment.encode()]
    if units[0] == ".":
        units[0] = "%2e"
    names: list[str] = []
    name = ""
    for unit in units:
        if len(name) + len(unit) > _MAX_NAME_CHARS:
            names.append(name + CONTINUED_SUFFIX)
            name = ""
        name += unit
    return [*names, name + suffix]
