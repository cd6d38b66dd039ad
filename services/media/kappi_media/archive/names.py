"""File names that every system can unpack: one path segment each, and no two that any system treats
as equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from kappi_chassis.storage.disposition import safe_filename

_NAMELESS = "file"
_FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"|?*]')
# With any extension, or spaces before it: Windows opens a device for "con .jpg" too.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)


def archive_names(filenames: Sequence[str]) -> list[str]:
    """Returns the names of the files in an archive, in the same order.

    A name that is already taken, in any case, becomes `name (2).jpg`. The first file of every name keeps it,
    so a file that is really called `name (2).jpg` keeps that name. The same list gives the same names.
    """
    safe = [safe_name(filename) for filename in filenames]
    taken: set[str] = set()
    keeps = []
    for name in safe:
        mark = _likeness(name)
        keeps.append(mark not in taken)
        taken.add(mark)
    counts: dict[str, int] = {}
    return [name if keep else _numbered(name, taken, counts) for name, keep in zip(safe, keeps, strict=True)]


def safe_name(filename: str) -> str:
    """Returns one file's name: in NFC, not empty, without what Windows, macOS or Linux refuse, and of at most
    250 bytes.
    """
    # Composed before it is cut to length, and again because a character between two others may have been
    # removed.
    name = safe_filename(_FORBIDDEN_ON_WINDOWS.sub("_", unicodedata.normalize("NFC", filename)))
    name = unicodedata.normalize("NFC", name).rstrip(". ") or _NAMELESS
    return f"_{name}" if _DEVICES.match(name) else name


def _numbered(name: str, taken: set[str], counts: dict[str, int]) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    like = _likeness(name)
    number = counts.get(like, 1)
    while True:
        number += 1
        candidate = f"{stem} ({number}){dot}{extension}"
        mark = _likeness(candidate)
        if mark not in taken:
            counts[like] = number
            taken.add(mark)
            return candidate


def _likeness(name: str) -> str:
    """Returns a text that is the same for names that a file system without case or composition treats as
    equal.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
