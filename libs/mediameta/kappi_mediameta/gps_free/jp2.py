"""Location removal for JPEG 2000: the picture and its colours stay, EXIF is written anew (ISO/IEC 15444-1).

Every other box becomes a `free` box of the same size, full of zeros; so do the comments of a codestream, and
what follows it.
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box
from kappi_mediameta.containers.jpeg2000 import (
    CODESTREAM_START,
    COMMENT,
    EXIF_UUID,
    TILE_DATA,
    UUID_BYTES,
    segments,
    tile_parts,
)
from kappi_mediameta.gps_free.box_walk import blank, children, clean_children
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset({b"jP  ", b"ftyp"})
_KEPT_OF_HEADER: Final = frozenset({b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res "})
_MAX_TILE_PARTS: Final = 4_000
_END_BYTES: Final = 2
_TILE_HEADER_BYTES: Final = 12
_KIND_OF_COMMENT_BYTES: Final = 2


async def clean_jp2(region: Region) -> None:
    if await region.read(0, len(CODESTREAM_START)) == CODESTREAM_START:
        await _clean_codestream(region)
        return
    end = 0
    async for box in children(region, 0, region.size_bytes):
        if box.name == b"jp2h":
            await clean_children(region, box.start, box.end, _KEPT_OF_HEADER)
        elif box.name == b"jp2c":
            await _clean_codestream(region.part(box.start, box.size_bytes))
        elif box.name == b"uuid":
            await _clean_uuid(region, box)
        elif box.name not in _KEPT:
            await blank(region, box)
        end = box.end
    if not end or (await region.read(end, min(8, region.size_bytes - end)))[4:] in TOP_LEVEL:
        raise Unremovable("a box does not fit")
    await region.erase(end, region.size_bytes - end)


async def _clean_uuid(region: Region, box: Box) -> None:
    body = region.part(box.start, box.size_bytes)
    is_exif = body.size_bytes > UUID_BYTES and await body.read(0, UUID_BYTES) == EXIF_UUID
    if not is_exif or not await keep_little_exif(body.part(UUID_BYTES, body.size_bytes - UUID_BYTES)):
        await blank(region, box)


async def _clean_codestream(codestream: Region) -> None:
    position = await _clean_header(codestream, 2, codestream.size_bytes)
    async for part in tile_parts(codestream, position, codestream.size_bytes, most=_MAX_TILE_PARTS):
        end = codestream.size_bytes if part.end is None else part.end
        await _clean_header(codestream, part.begin + _TILE_HEADER_BYTES, end)
        if part.end is None:  # all that follows is data
            return
        position = part.end
    if await codestream.read(position, 2) == b"\xff\x90":
        raise Unremovable("too many parts of tiles")
    after = min(position + _END_BYTES, codestream.size_bytes)
    await codestream.erase(after, codestream.size_bytes - after)


async def _clean_header(codestream: Region, position: int, end: int) -> int:
    """Erases the comments of a header, and returns its end."""
    at = position
    async for segment in segments(codestream, position, end):
        at = segment.end if segment.marker == TILE_DATA else segment.begin
        text_at = segment.start + _KIND_OF_COMMENT_BYTES
        if segment.marker == COMMENT and segment.end > text_at:
            await codestream.erase(text_at, segment.end - text_at)
    return at
