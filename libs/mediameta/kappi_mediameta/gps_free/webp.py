"""A WebP without what no decoder needs: pictures, animation, colour stay, EXIF is written anew (RFC 9649)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ALPH", b"ICCP"})
_FRAME: Final = b"ANMF"
_FRAME_HEADER_BYTES: Final = 16
_NOTHING: Final = b"JUNK"
_MAX_CHUNKS: Final = 100_000


async def clean_webp(region: Region) -> None:
    (size,) = struct.unpack("<I", await region.read(4, 4))
    end = min(8 + size, region.size_bytes)
    await _clean_chunks(region, 12, end)
    await region.erase(end, region.size_bytes - end)


async def _clean_chunks(region: Region, start: int, end: int) -> None:
    position = start
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            await region.erase(position, max(0, end - position))
            return
        name, length = struct.unpack("<4sI", await region.read(position, 8))
        # The last may be cut off; what the file has of it is what a decoder gets.
        length = min(length, end - position - 8)
        body = region.part(position + 8, length)
        if name == b"EXIF":
            await _clean_exif(body)
        elif name == _FRAME and length >= _FRAME_HEADER_BYTES:
            await _clean_chunks(region, position + 8 + _FRAME_HEADER_BYTES, position + 8 + length)
        elif name not in _KEPT:
            await body.erase(0, length)
            if name != b"XMP ":  # of which the file's header speaks
                await region.write(position, _NOTHING)
        position += 8 + length
        if length & 1 and position < end:
            await region.erase(position, 1)
            position += 1
    raise Unremovable("too many chunks")


async def _clean_exif(body: Region) -> None:
    # Some writers keep the prefix that belongs to JPEG.
    skipped = 6 if body.size_bytes > 6 and await body.read(0, 6) == b"Exif\0\0" else 0
    await keep_little_exif(body.part(skipped, body.size_bytes - skipped))
