"""Location removal for PNG: pictures, animation and colour stay, EXIF is written anew.

Other chunks become empty chunks of the same length, with the right checksums. What follows the end becomes
zeros.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_mediameta.containers.png_chunks import FIRST_CHUNK_AT, LAST_CHUNK, read_chunks
from kappi_mediameta.gps_free.edits import Region
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT"}
    | {b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"sBIT", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"}
    | {b"bKGD", b"pHYs"}
)
# Ancillary, private, safe to copy: readers of PNG pass over it.
_EMPTY_CHUNK: Final = b"paDd"
_MAX_CHUNKS: Final = 100_000


async def clean_png(region: Region) -> None:
    end = FIRST_CHUNK_AT
    async for chunk in read_chunks(region, FIRST_CHUNK_AT, most=_MAX_CHUNKS):
        end = min(chunk.end, region.size_bytes)
        if chunk.name == LAST_CHUNK and not chunk.length:
            break
        region.part(chunk.begin, chunk.end - chunk.begin)  # raises Outside for a chunk that is cut off
        if chunk.name in _KEPT:
            continue
        body = region.part(chunk.start, chunk.length)
        if chunk.name != b"eXIf" or not chunk.length or not await keep_little_exif(body):
            await region.write(chunk.begin + 4, _EMPTY_CHUNK)
            await body.write(0, bytes(chunk.length))
        checksum = zlib.crc32(await region.read(chunk.begin + 4, 4 + chunk.length))
        await region.write(chunk.start + chunk.length, struct.pack(">I", checksum))
    await region.erase(end, region.size_bytes - end)
