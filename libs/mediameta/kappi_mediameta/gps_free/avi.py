"""Location removal for AVI: headers, index, pictures and sound stay; texts, dates, other streams and
everything unknown become zeros in `JUNK` chunks.

Cameras write places between the media, too, so all chunks are walked. A file whose chunks are spread over
more than can be read has no copy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kappi_mediameta.containers.chunks import RIFF_START, Chunk, riff_chunks
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.probing.avi import LIST, NAMED_START

_NOTHING: Final = b"JUNK"
_MAX_CHUNKS: Final = 2_000_000
_PARTS: Final = (b"AVI ", b"AVIX")
_SHOWN: Final = frozenset({b"vids", b"auds"})
# Sizes of the parts of headers that have a meaning.
_HEADERS: Final = {b"avih": 56, b"strh": 56, b"dmlh": 4, b"indx": 1 << 20, b"vprp": 164}
_MAX_FORMAT_BYTES: Final = 1 << 20

Clean = Callable[[Chunk, Region], Awaitable[None]]


async def clean_avi(region: Region) -> None:
    await _Cleaner(region).clean()


class _Cleaner:
    """Cleans the chunks of one file. shown: of each stream in turn, whether it is picture or sound."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._shown: list[bool] = []

    async def clean(self) -> None:
        region, position = self._region, 0
        while await self._is_part(position):
            size = int.from_bytes(await region.read(position + 4, 4), "little")
            # A recording that was not finished has no size.
            told = position + 8 + size + (size & 1)
            end = min(told, region.size_bytes) if size > RIFF_START else region.size_bytes
            await self._each(position + RIFF_START, end, self._top)
            position = end
        await region.erase(position, region.size_bytes - position)

    async def _is_part(self, position: int) -> bool:
        if position + RIFF_START > self._region.size_bytes:
            return False
        head = await self._region.read(position, RIFF_START)
        return head[:4] == b"RIFF" and head[8:] in _PARTS

    async def _each(self, start: int, end: int, clean: Clean) -> None:
        """Cleans the chunks between two positions, and erases what is between and behind them."""
        region, position = self._region, start
        async for chunk in riff_chunks(region, start, end, most=_MAX_CHUNKS):
            position = min(chunk.end, end)
            await clean(chunk, region.part(chunk.start, position - chunk.start))
            padding = min(chunk.following, end) - position
            await region.erase(position, padding)
            position += padding
        await region.erase(position, max(0, end - position))

    async def _top(self, chunk: Chunk, body: Region) -> None:
        name = await _list_name(chunk, body)
        if name == b"hdrl":
            await self._inside(chunk, body, self._header)
        elif name == b"movi":
            await self._inside(chunk, body, self._media)
        elif chunk.name != b"idx1":
            await self._blank(chunk, body)

    async def _inside(self, chunk: Chunk, body: Region, clean: Clean) -> None:
        await self._each(chunk.start + NAMED_START, chunk.start + body.size_bytes, clean)

    async def _header(self, chunk: Chunk, body: Region) -> None:
        name = await _list_name(chunk, body)
        if name in (b"strl", b"odml"):
            await self._inside(chunk, body, self._header)
        elif chunk.name == b"strh":
            self._shown.append(body.size_bytes >= NAMED_START and await body.read(0, NAMED_START) in _SHOWN)
            await self._shorten(body, _HEADERS[chunk.name])
        elif chunk.name in _HEADERS:
            await self._shorten(body, _HEADERS[chunk.name])
        elif chunk.name == b"strf":
            await self._shorten(body, _MAX_FORMAT_BYTES if self._shown and self._shown[-1] else 0)
        else:
            await self._blank(chunk, body)

    async def _media(self, chunk: Chunk, body: Region) -> None:
        """Keeps a chunk of a stream that is shown, and an index, whose names begin with `ix`."""
        if await _list_name(chunk, body) == b"rec ":
            await self._inside(chunk, body, self._media)
        elif chunk.name[:2].isdigit():
            number = int(chunk.name[:2])
            if number >= len(self._shown) or not self._shown[number]:
                await body.erase(0, body.size_bytes)
        elif not (chunk.name[:2] == b"ix" and chunk.name[2:].isdigit()):
            await self._blank(chunk, body)

    async def _shorten(self, body: Region, kept: int) -> None:
        await body.erase(min(kept, body.size_bytes), max(0, body.size_bytes - kept))

    async def _blank(self, chunk: Chunk, body: Region) -> None:
        await body.erase(0, body.size_bytes)
        await self._region.write(chunk.begin, _NOTHING)


async def _list_name(chunk: Chunk, body: Region) -> bytes:
    if chunk.name != LIST:
        return b""
    if body.size_bytes < NAMED_START:
        raise Unremovable("a list of an unknown size")
    return await body.read(0, NAMED_START)
