"""Location removal for JPEG XL: the codestream stays, EXIF is written anew (ISO/IEC 18181-2).

Every other box becomes a `free` box of the same size, full of zeros: also metadata that is packed with
Brotli, and the data with which a JPEG could be restored, which have that JPEG's metadata.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box
from kappi_mediameta.containers.jxl_codestream import SIGNATURE
from kappi_mediameta.gps_free.box_walk import blank, children
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_CODESTREAM: Final = frozenset({b"jxlc", b"jxlp"})
_KEPT: Final = frozenset({b"JXL ", b"ftyp", b"jxll", b"jxli"})
_OFFSET_BYTES: Final = 4
# A codestream has no metadata, and its end is unknown without decoding. These show that something is
# appended: the start of metadata or of another file, or a text. Compressed pixels do not have them by chance.
_APPENDED: Final = re.compile(rb"ftyp[ -~]{4}|Exif\x00\x00|\xff\xd8\xff\xe0..JFIF|[\t\n\r -~]{32}", re.DOTALL)
_LONGEST_MARK_BYTES: Final = 32


async def clean_jxl(region: Region) -> None:
    if await region.read(0, len(SIGNATURE)) == SIGNATURE:
        await _refuse_appended(region, 0, region.size_bytes)
        return
    end = 0
    async for box in children(region, 0, region.size_bytes):
        if box.name == b"Exif":
            await clean_exif_box(region, box)
        elif box.name in _CODESTREAM:
            await _refuse_appended(region, box.start, box.end)
        elif box.name not in _KEPT:
            await blank(region, box)
        end = box.end
    if not end or (await region.read(end, min(8, region.size_bytes - end)))[4:] in TOP_LEVEL:
        raise Unremovable("a box does not fit")
    await region.erase(end, region.size_bytes - end)


async def clean_exif_box(region: Region, box: Box) -> None:
    """Writes EXIF anew. The box begins with the offset of the TIFF structure behind that number."""
    if box.size_bytes > _OFFSET_BYTES:
        offset = _OFFSET_BYTES + int.from_bytes(await region.read(box.start, _OFFSET_BYTES), "big")
        if offset < box.size_bytes:
            await region.erase(box.start + _OFFSET_BYTES, offset - _OFFSET_BYTES)
            if await keep_little_exif(region.part(box.start + offset, box.size_bytes - offset)):
                return
    await blank(region, box)


async def _refuse_appended(region: Region, start: int, end: int) -> None:
    """Raises Unremovable for a codestream with a mark of something else."""
    position, before = start, b""
    while position < end:
        piece = (await region.file.scan(position))[: end - position]
        if not piece:
            return
        if _APPENDED.search(before + piece):
            raise Unremovable("something is appended to a codestream")
        before = piece[-_LONGEST_MARK_BYTES:]
        position += len(piece)
