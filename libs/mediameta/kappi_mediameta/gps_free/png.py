"""A PNG without what no decoder needs: pictures, animation and colour stay, EXIF is written anew.

Other chunks become empty ones of the same length, checksums are set right, nothing is left behind
the end.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT"}
    | {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"sBIT", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"}
    | {b"bKGD", b"pHYs"}
)
# Ancillary, private, safe to copy: whoever reads PNG passes over it.
_EMPTY_CHUNK: Final = b"paDd"
_MAX_CHUNKS: Final = 100_000


async def clean_png(region: Region) -> None:
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > region.size_bytes:
            await region.erase(position, region.size_bytes - position)
            return
        length, name = struct.unpack(">I4s", await region.read(position, 8))
        chunk = region.part(position, 12 + length)
        position += 12 + length
        if name == b"IEND":
            await region.erase(position, region.size_bytes - position)
            return
        if name == b"eXIf" and length and await _keeps_exif(chunk.part(8, length)):
            await _set_checksum(chunk, length)
        elif name not in _KEPT:
            await chunk.write(4, _EMPTY_CHUNK + bytes(length))
            await _set_checksum(chunk, length)
    raise Unremovable("too many chunks")


async def _keeps_exif(body: Region) -> bool:
    # Some writers keep the prefix that belongs to JPEG.
    skipped = 6 if body.size_bytes > 6 and await body.read(0, 6) == b"Exif\0\0" else 0
    return await keep_little_exif(body.part(skipped, body.size_bytes - skipped))


async def _set_checksum(chunk: Region, length: int) -> None:
    await chunk.write(8 + length, struct.pack(">I", zlib.crc32(await chunk.read(4, 4 + length))))
