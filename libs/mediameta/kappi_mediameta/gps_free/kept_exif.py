"""Writes EXIF anew with the tags that a copy keeps: orientation, time of capture, camera, and the identifier
of a Live Photo. All else becomes zeros, unknown fields included.
"""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.containers.tiff_directories import ASCII, LONG, SHORT, UNDEFINED
from kappi_mediameta.gps_free.edits import Region
from kappi_mediameta.gps_free.kept_tags import kept_tags
from kappi_mediameta.probing.apple import CONTENT_IDENTIFIER, live_id_of
from kappi_mediameta.probing.exif import (
    DATE_TIME_ORIGINAL,
    EXIF_DIRECTORY,
    MAKE,
    MODEL,
    ORIENTATION,
    exif_tags,
)
from kappi_mediameta.probing.tiff_fields import MAKER_NOTE, Tags, integer, text
from kappi_mediameta.probing.written import written_time

_PREFIX: Final = b"Exif\0\0"
_Entry = tuple[int, int, int, bytes]
"""Tag, type, count and value of a field."""


async def keep_little_exif(region: Region) -> bool:
    """Returns False where the kept fields have no room and nothing is left.

    region: begins with the TIFF structure. Some writers keep the prefix that belongs to JPEG before it.
    """
    if region.size_bytes > len(_PREFIX) and await region.read(0, len(_PREFIX)) == _PREFIX:
        region = region.part(len(_PREFIX), region.size_bytes - len(_PREFIX))
    block = await region.read_all()
    for kept in _from_most_to_least(block):
        if len(kept) <= len(block):
            await region.write(0, kept)
            await region.erase(len(kept), len(block) - len(kept))
            return True
    await region.erase(0, len(block))
    return False


def _from_most_to_least(block: bytes) -> list[bytes]:
    main, details, _ = exif_tags(block)
    camera, turned = _camera(main), _turned(main)
    taken = _taken(details)
    maker_note = details.get(MAKER_NOTE)
    live_id = live_id_of(maker_note) if isinstance(maker_note, bytes) else None
    live = [] if live_id is None else [_maker_note(live_id)]
    return [
        _structure([*camera, *turned], [*taken, *live]),
        _structure(turned, [*taken, *live]),
        _structure(turned, taken),
        _structure(turned, []),
    ]


def _camera(main: Tags) -> list[_Entry]:
    names = {"make": text(main, MAKE), "model": text(main, MODEL)}
    found = {name: written.strip().encode() for name, written in names.items() if written is not None}
    kept = {name: value + b"\0" for name, value in kept_tags(found).items()}
    tags = {"make": MAKE, "model": MODEL}
    return [(tag, ASCII, len(kept[name]), kept[name]) for name, tag in tags.items() if name in kept]


def _turned(main: Tags) -> list[_Entry]:
    orientation = integer(main, ORIENTATION)
    if orientation is None or not 1 <= orientation <= 8:
        return []
    return [(ORIENTATION, SHORT, 1, struct.pack("<HH", orientation, 0))]


def _taken(details: Tags) -> list[_Entry]:
    """Returns the time without its offset, which shows the zone."""
    taken = written_time(text(details, DATE_TIME_ORIGINAL))
    if taken is None:
        return []
    local = taken.local.isoformat(" ", "seconds").replace("-", ":")
    return [(DATE_TIME_ORIGINAL, ASCII, 20, local.encode() + b"\0")]


def _maker_note(live_id: str) -> _Entry:
    """Returns a maker note in Apple's layout, where offsets count from the start of the note."""
    name = live_id.encode() + b"\0"
    entry = struct.pack(">HHII", CONTENT_IDENTIFIER, ASCII, len(name), 14 + 2 + 12 + 4)
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 1) + entry + bytes(4) + name
    return (MAKER_NOTE, UNDEFINED, len(note), note)


def _structure(main: list[_Entry], details: list[_Entry]) -> bytes:
    """Returns a TIFF structure of one directory, and of one below it where there is something for that."""
    head = struct.pack("<4sI", b"II*\0", 8)
    if not details:
        return head + _directory(main, at=8)
    pointer = (EXIF_DIRECTORY, LONG, 1, bytes(4))
    below_at = 8 + len(_directory([*main, pointer], at=8))
    pointer = (EXIF_DIRECTORY, LONG, 1, struct.pack("<I", below_at))
    return head + _directory([*main, pointer], at=8) + _directory(details, at=below_at)


def _directory(entries: list[_Entry], *, at: int) -> bytes:
    values_at = at + 2 + 12 * len(entries) + 4
    table, values = b"", b""
    for tag, kind, count, value in entries:
        inline = value if len(value) <= 4 else struct.pack("<I", values_at + len(values))
        table += struct.pack("<HHI4s", tag, kind, count, inline)
        values += value + bytes(len(value) & 1) if len(value) > 4 else b""  # values begin at even positions
    return struct.pack("<H", len(entries)) + table + bytes(4) + values
