"""Location removal for WebP: pictures, animation and colour stay, EXIF is written anew (RFC 9649)."""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.chunks import RIFF_START, riff_chunks, riff_end
from kappi_mediameta.gps_free.edits import Region
from kappi_mediameta.gps_free.kept_exif import keep_little_exif

_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ALPH", b"ICCP"})
_FRAME: Final = b"ANMF"
_FRAME_HEADER_BYTES: Final = 16
_NOTHING: Final = b"JUNK"
_MAX_CHUNKS: Final = 100_000


async def clean_webp(region: Region) -> None:
    end = min(await riff_end(region), region.size_bytes)
    await _clean_chunks(region, RIFF_START, end)
    await region.erase(end, region.size_bytes - end)


async def _clean_chunks(region: Region, start: int, end: int) -> None:
    position = start
    async for chunk in riff_chunks(region, start, end, most=_MAX_CHUNKS):
        # The last chunk may be cut off. A decoder gets what the file has of it.
        position = min(chunk.end, end)
        body = region.part(chunk.start, position - chunk.start)
        if chunk.name == b"EXIF":
            await keep_little_exif(body)
        elif chunk.name == _FRAME and body.size_bytes >= _FRAME_HEADER_BYTES:
            await _clean_chunks(region, chunk.start + _FRAME_HEADER_BYTES, position)
        elif chunk.name not in _KEPT:
            await body.erase(0, body.size_bytes)
            if chunk.name != b"XMP ":  # the file's header has a flag for it
                await region.write(chunk.begin, _NOTHING)
        padding = min(chunk.following, end) - position
        await region.erase(position, padding)
        position += padding
    await region.erase(position, max(0, end - position))
