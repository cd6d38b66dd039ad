"""Location removal for JPEG: tables, frames, scans and colour stay, EXIF and XMP are written anew.

Phones append a second picture (MPF), a gain map or a film, each with metadata of its own. These are cleaned,
too. All other bytes behind the end become zeros.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.jpeg_segments import (
    END_OF_IMAGE,
    START_OF_SCAN,
    next_marker,
    segment_at,
)
from kappi_mediameta.gps_free.boxes import clean_boxes
from kappi_mediameta.gps_free.edits import SCAN_BYTES, Damaged, Outside, Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif
from kappi_mediameta.gps_free.kept_xmp import keep_little_xmp
from kappi_mediameta.gps_free.tiff import keeps_picture_index
from kappi_mediameta.probing.xmp import XMP_MARK

# A few cameras write bytes before the mark, or write it in lower case.
_EXIF: Final = re.compile(rb".{0,4}Exif\x00.", re.DOTALL | re.IGNORECASE)
_PICTURES: Final = b"MPF\x00"
_COLOUR: Final = b"ICC_PROFILE\x00"
_APP1, _APP2 = 0xE1, 0xE2
# Decoders read frames, tables and scans. Of segments with these openings they need the first bytes.
_KEPT: Final = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)}) - {0xC8}
_OPENINGS: Final = {0xE0: ((b"JFIF\x00", 14),), 0xEE: ((b"Adobe", 12),)}
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SOMETHING_APPENDED: Final = re.compile(rb"\xff\xd8\xff[\xdb\xe0-\xef\xfe]|(?<=\0\0\0[\x08-\x80])ftyp")
_MAX_SEGMENTS: Final = 20_000
_MAX_APPENDED: Final = 64


async def clean_jpeg(region: Region) -> None:
    """Raises Unremovable when its segments cannot be followed."""
    end = await _clean_picture(region, 0)
    await _clean_appended(region, end)


async def _clean_picture(region: Region, at: int) -> int:
    """Cleans the picture that begins at a position. Returns its end."""
    position = at + 2
    for _ in range(_MAX_SEGMENTS):
        before, position = position, await next_marker(region, position)
        # Fill bytes are the only bytes that may lie between segments.
        await region.write(before, b"\xff" * (position - before))
        marker, length = await segment_at(region, position)
        if marker == END_OF_IMAGE:
            break
        if length:
            await _clean_segment(region.part(position + 4, length - 2), marker)
        position += 2 + length
        if marker == START_OF_SCAN:
            position = await _end_of_scan(region, position)
            if position >= region.size_bytes:
                break
    else:
        raise Unremovable("too many segments")
    return min(position + 2, region.size_bytes)


async def _clean_segment(body: Region, marker: int) -> None:
    head = await body.read(0, min(body.size_bytes, 64))
    if marker == _APP1 and (exif := _EXIF.match(head)) is not None:
        await body.erase(0, exif.end() - len(b"Exif??"))
        await keep_little_exif(body.part(exif.end(), body.size_bytes - exif.end()))
    elif marker == _APP1 and head.startswith(XMP_MARK):
        await keep_little_xmp(body.part(len(XMP_MARK), body.size_bytes - len(XMP_MARK)))
    elif marker == _APP2 and head.startswith(_PICTURES):
        if not await keeps_picture_index(body.part(len(_PICTURES), body.size_bytes - len(_PICTURES))):
            await body.erase(0, body.size_bytes)
    elif marker not in _KEPT and not (marker == _APP2 and head.startswith(_COLOUR)):
        kept = next((length for name, length in _OPENINGS.get(marker, ()) if head.startswith(name)), 0)
        await body.erase(kept, max(0, body.size_bytes - kept))


async def _end_of_scan(region: Region, position: int) -> int:
    """Returns the position of the next marker that does not belong to the scan."""
    while position + 1 < region.size_bytes:
        piece = await region.scan(position)
        found = _MARKER_IN_SCAN.search(piece)
        if found is not None:
            return position + found.start()
        position += max(1, len(piece) - 1)
    return region.size_bytes


async def _clean_appended(region: Region, end: int) -> None:
    """Cleans pictures and films that follow, and erases all else. end: of the picture before."""
    position = end
    for _ in range(_MAX_APPENDED):
        begin = await _appended_from(region, position)
        if begin is None:
            await region.erase(end, region.size_bytes - end)
            return
        position, is_picture = begin
        rest = region.part(position, region.size_bytes - position)
        try:
            length = await (_clean_picture(rest, 0) if is_picture else _clean_film(rest))
        except (Damaged, Outside):  # neither a picture nor a film
            position += 4 if is_picture else 8
            continue
        await region.erase(end, position - end)
        position = end = position + length
    raise Unremovable("too much appended")


async def _clean_film(rest: Region) -> int:
    end = await clean_boxes(rest, ends_anywhere=True)
    if end <= int.from_bytes(await rest.read(0, 4), "big"):
        raise Outside("a first box alone is no film")
    return end


async def _appended_from(region: Region, position: int) -> tuple[int, bool] | None:
    """Returns the begin of the next picture or film, and whether it is a picture."""
    while position < region.size_bytes:
        piece = await region.scan(position)
        found = _SOMETHING_APPENDED.search(piece)
        if found is not None:
            is_picture = found[0] != b"ftyp"
            return position + found.start() - (0 if is_picture else 4), is_picture
        if len(piece) < SCAN_BYTES:
            return None
        position += len(piece) - 8
    return None
