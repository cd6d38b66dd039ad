"""Location removal for PNG: pictures, animation and colour stay, EXIF is written anew.

Other chunks become empty chunks of the same length, with the right checksums. What follows the end becomes
zeros.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_mediameta.containers.chunks import PNG_END, PNG_START, png_chunks
from kappi_mediameta.gps_free.edits import Region
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT"}
    | {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"sBIT", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"}
    | {b"bKGD", b"pHYs"}
)
# Ancillary, private, safe to copy: readers of PNG pass over it.
_EMPTY_CHUNK: Final = b"paDd"
_SHORTEST_CHUNK_BYTES: Final = 12
_MAX_CHUNKS: Final = 100_000


async def clean_png(region: Region) -> None:
    end = PNG_START
    async for chunk in png_chunks(region, PNG_START, most=_MAX_CHUNKS):
        if region.size_bytes - chunk.begin < _SHORTEST_CHUNK_BYTES:
            break
        end = chunk.following
        if chunk.name == PNG_END and not chunk.length:
            break
        whole = region.part(chunk.begin, chunk.following - chunk.begin)  # raises Outside where it is cut off
        if chunk.name in _KEPT:
            continue
        body = whole.part(8, chunk.length)
        if chunk.name != b"eXIf" or not chunk.length or not await keep_little_exif(body):
            await whole.write(4, _EMPTY_CHUNK + bytes(chunk.length))
        checksum = zlib.crc32(await whole.read(4, 4 + chunk.length))
        await whole.write(8 + chunk.length, struct.pack(">I", checksum))
    await region.erase(end, region.size_bytes - end)
