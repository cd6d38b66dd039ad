"""Places out of a JPEG: EXIF, XMP and IPTC before the picture, and in whatever follows it.

Phones append a second picture (MPF), a gain map, a film: each with metadata of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from kappi_media.location_free.boxes import clean_boxes
from kappi_media.location_free.edits import SCAN_BYTES, Outside, Region, Unremovable
from kappi_media.location_free.iptc import clean_photoshop
from kappi_media.location_free.tiff import clean_tiff
from kappi_media.location_free.xmp import clean_xmp
from kappi_media.probing.jpeg import MARKER, MAX_BETWEEN_BYTES

# A few cameras put something in front, or write it small.
_EXIF: Final = re.compile(rb".{0,4}Exif\x00.", re.DOTALL | re.IGNORECASE)
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_MORE_XMP: Final = b"http://ns.adobe.com/xmp/extension/\x00"
_MORE_XMP_HEADER_BYTES: Final = len(_MORE_XMP) + 40
_PHOTOSHOP: Final = b"Photoshop 3.0\x00"
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN, _END, _APP1, _APP13 = 0xDA, 0xD9, 0xE1, 0xED
# Segments of other makers that may tell a place in a way of their own: GoPro's telemetry, C2PA's assertions.
_FOREIGN: Final = frozenset(range(0xE3, 0xEF)) - {_APP13}
_FOREIGN_PLACE: Final = re.compile(rb"GPSL|GPS5|GPS9|GPSLatitude|\"latitude\"", re.IGNORECASE)
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_SOMETHING_APPENDED: Final = re.compile(rb"\xff\xd8\xff[\xdb\xe0-\xef\xfe]|(?<=\0\0\0[\x08-\x80])ftyp")
_MAX_SEGMENTS: Final = 20_000
_MAX_APPENDED: Final = 64


class _NoSegment(Unremovable):
    """Where one must be is something else."""


@dataclass(slots=True)
class _Segments:
    """What is put together from several segments."""

    photoshop: list[Region] = field(default_factory=list)
    more_xmp: dict[bytes, list[tuple[int, Region]]] = field(default_factory=dict)


async def clean_jpeg(region: Region) -> None:
    """Raises Unremovable when its segments cannot be followed."""
    end = await _clean_picture(region, 0)
    await _clean_appended(region, end)


async def _clean_picture(region: Region, at: int) -> int:
    """Clean the picture that begins there; where it ends."""
    segments = _Segments()
    position = at + 2
    for _ in range(_MAX_SEGMENTS):
        position = await _next_marker(region, position)
        marker, length = await _segment(region, position)
        if marker == _END:
            break
        if length:
            await _clean_segment(region.part(position + 4, length - 2), marker, segments)
        position += 2 + length
        if marker == _SCAN:
            position = await _end_of_scan(region, position)
            if position >= region.size_bytes:
                break
    else:
        raise Unremovable("too many segments")
    await _clean_joined(segments)
    return min(position + 2, region.size_bytes)


async def _next_marker(region: Region, position: int) -> int:
    """Where the next one begins, as the prober finds it."""
    length = max(0, min(MAX_BETWEEN_BYTES, region.size_bytes - position))
    found = MARKER.search(await region.read(position, length))
    if found is None:
        raise _NoSegment("no marker where one must be")
    return position + found.start()


async def _segment(region: Region, position: int) -> tuple[int, int]:
    """Marker and length; 0 where it stands alone."""
    start = await region.read(position, 2)
    if start[1] in _STANDALONE or start[1] == _END:
        return start[1], 0
    length = int.from_bytes(await region.read(position + 2, 2), "big")
    if length < 2:
        raise _NoSegment("impossible segment")
    return start[1], length


async def _clean_segment(body: Region, marker: int, segments: _Segments) -> None:
    if marker == _APP1:
        head = await body.read(0, min(body.size_bytes, _MORE_XMP_HEADER_BYTES))
        if (exif := _EXIF.match(head)) is not None:
            await clean_tiff(body.part(exif.end(), body.size_bytes - exif.end()))
        elif head.startswith(_XMP):
            await clean_xmp(body.part(len(_XMP), body.size_bytes - len(_XMP)))
        elif head.startswith(_MORE_XMP) and len(head) == _MORE_XMP_HEADER_BYTES:
            rest = body.part(len(head), body.size_bytes - len(head))
            pieces = segments.more_xmp.setdefault(head[len(_MORE_XMP) : -8], [])
            pieces.append((int.from_bytes(head[-4:], "big"), rest))
    elif marker == _APP13:
        if body.size_bytes > len(_PHOTOSHOP) and await body.read(0, len(_PHOTOSHOP)) == _PHOTOSHOP:
            segments.photoshop.append(body.part(len(_PHOTOSHOP), body.size_bytes - len(_PHOTOSHOP)))
    elif marker in _FOREIGN and _FOREIGN_PLACE.search(await body.read_all()):
        await body.write(0, bytes(body.size_bytes))


async def _clean_joined(segments: _Segments) -> None:
    for pieces in segments.more_xmp.values():
        await clean_xmp(_joined([piece for _, piece in sorted(pieces, key=lambda piece: piece[0])]))
    if segments.photoshop:
        await clean_photoshop(_joined(segments.photoshop), clean_exif=clean_tiff)


def _joined(pieces: list[Region]) -> Region:
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole.joined(piece)
    return whole


async def _end_of_scan(region: Region, position: int) -> int:
    """Where the next marker is that does not belong to the scan itself."""
    base = region.start_in_file()
    while position + 1 < region.size_bytes:
        piece = (await region.file.scan(base + position))[: region.size_bytes - position]
        found = _MARKER_IN_SCAN.search(piece)
        if found is not None:
            return position + found.start()
        position += max(1, len(piece) - 1)
    return region.size_bytes


async def _clean_appended(region: Region, position: int) -> None:
    base = region.start_in_file()
    for _ in range(_MAX_APPENDED):
        begin = await _appended_from(region, position, base)
        if begin is None:
            return
        position, is_picture = begin
        rest = region.part(position, region.size_bytes - position)
        if not is_picture:
            end = await clean_boxes(rest, ends_anywhere=True)
            # A first box alone is no film; the next thing may begin within what it seems to span.
            position += end if end > int.from_bytes(await rest.read(0, 4), "big") else 8
            continue
        try:
            position += await _clean_picture(rest, 0)
        except (Outside, _NoSegment):  # only looked like one
            position += 4
    raise Unremovable("too much appended")


async def _appended_from(region: Region, position: int, base: int) -> tuple[int, bool] | None:
    """The next thing after a picture, and whether it is a picture, too."""
    while position < region.size_bytes:
        piece = (await region.file.scan(base + position))[: region.size_bytes - position]
        found = _SOMETHING_APPENDED.search(piece)
        if found is not None:
            is_picture = found[0] != b"ftyp"
            return position + found.start() - (0 if is_picture else 4), is_picture
        if len(piece) < SCAN_BYTES:
            return None
        position += len(piece) - 8
    return None
