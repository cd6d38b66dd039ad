"""File names that every system can unpack: one path segment each, and no two that any system treats
as equal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from kappi_chassis.storage.disposition import safe_filename

_NAMELESS = "file"
_FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"|?*]')
# With any extension, or spaces before it: Windows opens a device for "con .jpg" too.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)


def archive_names(filenames: Sequence[str], sidecars: Collection[int] = ()) -> list[str]:
    """Returns the names of the files in an archive, in the same order.

    A name that is already taken, in any case, becomes `name (2).jpg`. The first file of every name keeps it,
    so a file that is really called `name (2).jpg` keeps that name. The same list gives the same names.

    sidecars: the places of XMP sidecars, each behind its picture. They follow their pictures' names, because
    photo editors find them by these.
    """
    files = [at for at in range(len(filenames)) if at not in sidecars]
    safe = {at: safe_name(filenames[at]) for at in files}
    taken: set[str] = set()
    keeps = {at for at, name in safe.items() if _takes(name, taken)}
    counts: dict[str, int] = {}
    names = {at: name if at in keeps else _numbered(name, taken, counts) for at, name in safe.items()}
    for at in sorted(sidecars):
        names[at] = _beside(names[at - 1], filenames[at - 1], filenames[at], taken, counts)
    return [names[at] for at in range(len(filenames))]


def safe_name(filename: str) -> str:
    """Returns one file's name: in NFC, not empty, without what Windows, macOS or Linux refuse, and of at most
    250 bytes.
    """
    # Composed before it is cut to length, and again because a character between two others may have been
    # removed.
    name = safe_filename(_FORBIDDEN_ON_WINDOWS.sub("_", unicodedata.normalize("NFC", filename)))
    name = unicodedata.normalize("NFC", name).rstrip(". ") or _NAMELESS
    return f"_{name}" if _DEVICES.match(name) else name


def _beside(picture: str, picture_as: str, sidecar: str, taken: set[str], counts: dict[str, int]) -> str:
    """Returns the name of a sidecar. picture: its picture's name in the archive. picture_as, sidecar: the
    names of both outside.
    """
    begin, ending = sidecar[:-4], sidecar[-4:]
    stem = picture.rpartition(".")[0] or picture
    extension = picture_as[len(picture_as.rpartition(".")[0]) :]
    # Either form is found; the longer one is never that of another picture.
    forms = [picture] if begin.casefold().endswith(extension.casefold()) else [stem, picture]
    for form in forms:
        if _takes(form + ending, taken):
            return form + ending
    return _numbered(forms[0] + ending, taken, counts)


def _takes(name: str, taken: set[str]) -> bool:
    """Take a name. Returns False when it is taken already."""
    mark = _likeness(name)
    if mark in taken:
        return False
    taken.add(mark)
    return True


def _numbered(name: str, taken: set[str], counts: dict[str, int]) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    like = _likeness(name)
    number = counts.get(like, 1)
    while True:
        number += 1
        candidate = f"{stem} ({number}){dot}{extension}"
        if _takes(candidate, taken):
            counts[like] = number
            return candidate


def _likeness(name: str) -> str:
    """Returns a text that is the same for names that a file system without case or composition treats as
    equal.
    """
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
