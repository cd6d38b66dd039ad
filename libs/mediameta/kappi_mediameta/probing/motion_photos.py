"""The film in a motion photo: behind the picture, or in a box of a HEIC.

Sources: Google's Motion Photo format 1.0 and its older MicroVideo, whose XMP counts from the end of the file;
Samsung's trailer as ExifTool reads it; the `mpvd` box. A film counts only where its boxes are. Nothing here
raises: a picture without a film that can be found is a picture.
"""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, read_box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.facts import EmbeddedFilm
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.rejection import ProbeRejected
from kappi_mediameta.probing.source import BlockReader

_MAX_BOXES: Final = 64
_FILM_BOX: Final = b"mpvd"
_TRAILER_END, _TRAILER_START = b"SEFT", b"SEFH"
_MAX_TRAILER_BYTES: Final = 4 << 10
_TRAILER_ENTRY: Final = struct.Struct("<HHII")
_FILM_NAME: Final = b"MotionPhoto_Data"


async def film_in_picture(
    reader: BlockReader, fmt: MediaFormat, *, film_from_end: int | None
) -> EmbeddedFilm | None:
    """Returns the film, or None. film_from_end: bytes from its start to the end of the file, as XMP says."""
    try:
        if fmt in (MediaFormat.HEIC, MediaFormat.AVIF):
            return await _film_in_box(reader)
        if fmt is not MediaFormat.JPEG:
            return None
        if film_from_end is not None and 0 < film_from_end < reader.size_bytes:
            film = await _film_at(reader, reader.size_bytes - film_from_end, reader.size_bytes)
            if film is not None:
                return film
        return await _film_in_trailer(reader)
    except ProbeRejected:
        return None


async def _film_in_box(reader: BlockReader) -> EmbeddedFilm | None:
    async for box in BoxReader(reader, max_boxes=_MAX_BOXES).of_file():
        if box.name == _FILM_BOX:
            return await _film_at(reader, box.start, box.end)
    return None


async def _film_in_trailer(reader: BlockReader) -> EmbeddedFilm | None:
    """Returns the film that Samsung's trailer lists. Its directory counts back from its own start."""
    length, mark = struct.unpack("<I4s", await reader.tail(8))
    if mark != _TRAILER_END or not 12 <= length <= _MAX_TRAILER_BYTES:
        return None
    begin = reader.size_bytes - 8 - length
    listed = await reader.read(begin, length)
    if not listed.startswith(_TRAILER_START):
        return None
    count = min(int.from_bytes(listed[8:12], "little"), (length - 12) // _TRAILER_ENTRY.size)
    for number in range(count):
        _, _, back, size = _TRAILER_ENTRY.unpack_from(listed, 12 + number * _TRAILER_ENTRY.size)
        start, name_bytes = begin - back, len(_FILM_NAME)
        named = await reader.read_upto(start, 8 + name_bytes) if start > 0 else b""
        if named[4:] == struct.pack("<I", name_bytes) + _FILM_NAME:
            return await _film_at(reader, start + 8 + name_bytes, min(start + size, begin))
    return None


async def _film_at(reader: BlockReader, start: int, end: int) -> EmbeddedFilm | None:
    """Returns the film that begins at a position: its boxes, without what follows them before `end`."""
    if end - start < 16 or (await reader.read(start + 4, 4)) != b"ftyp":
        return None
    position = start
    names = set()
    for _ in range(_MAX_BOXES):
        if end - position < 8:
            break
        box = await read_box(reader, position, end)
        if box is None or box.name not in TOP_LEVEL or box.end > end:
            break
        names.add(box.name)
        position = box.end
    whole = {b"ftyp", b"moov", b"mdat"} <= names
    return EmbeddedFilm(start=start, size_bytes=position - start) if whole else None
