"""Location removal for AVI: headers, index, pictures and sound stay; texts, dates, other streams and
everything unknown become zeros in `JUNK` chunks.

Cameras write places between the media, too, so all chunks are walked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kappi_mediameta.containers.chunks import RIFF_START, Chunk, riff_chunks
from kappi_mediameta.gps_free.edits import SCAN_BYTES, Outside, Region, Unremovable
from kappi_mediameta.probing.avi import LIST, NAMED_START

_NOTHING: Final = b"JUNK"
_MAX_CHUNKS: Final = 2_000_000
_PARTS: Final = (b"AVI ", b"AVIX")
_SHOWN: Final = frozenset({b"vids", b"auds"})
# Sizes of the parts of headers that have a meaning.
_HEADERS: Final = {b"avih": 56, b"strh": 56, b"dmlh": 4, b"indx": 1 << 20, b"vprp": 164}
_MAX_FORMAT_BYTES: Final = 1 << 20

Clean = Callable[[Chunk], Awaitable[None]]


async def clean_avi(region: Region) -> None:
    await _Cleaner(region).clean()


class _Ahead:
    """Reads a file forwards, a megabyte at a time: the headers of chunks are all over it."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._start = 0
        self._piece = b""
        self.size_bytes = region.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        if start + length > self.size_bytes:
            raise Outside("points outside the file")
        at = start - self._start
        if not 0 <= at <= len(self._piece) - length:
            self._piece, self._start, at = await self._region.scan(start), start, 0
        return self._piece[at : at + length]

    async def scan(self, start: int) -> bytes:
        return await self._region.scan(start)

    def damaged(self, detail: str) -> Exception:
        return self._region.damaged(detail)

    def too_many(self, parts: str) -> Exception:
        return self._region.too_many(parts)

    async def erase(self, start: int, length: int) -> None:
        """Notes zeros, unless there are zeros already."""
        for position in range(start, start + length, SCAN_BYTES):
            size = min(SCAN_BYTES, start + length - position)
            if (await self.read(position, size)).count(0) < size:
                self._region.zero(position, size)


class _Cleaner:
    """Cleans the chunks of one file. shown: of each stream in turn, whether it is picture or sound."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._ahead = _Ahead(region)
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
        position = start
        async for chunk in riff_chunks(self._ahead, start, end, most=_MAX_CHUNKS):
            # The last chunk may be cut off.
            position = min(chunk.end, end)
            await clean(chunk._replace(end=position))
            padding = min(chunk.following, end) - position
            await self._ahead.erase(position, padding)
            position += padding
        await self._ahead.erase(position, max(0, end - position))

    async def _top(self, chunk: Chunk) -> None:
        name = await self._list_name(chunk)
        if name == b"hdrl":
            await self._inside(chunk, self._header)
        elif name == b"movi":
            await self._inside(chunk, self._media)
        elif chunk.name != b"idx1":
            await self._blank(chunk)

    async def _inside(self, chunk: Chunk, clean: Clean) -> None:
        await self._each(chunk.start + NAMED_START, chunk.end, clean)

    async def _header(self, chunk: Chunk) -> None:
        if await self._list_name(chunk) in (b"strl", b"odml"):
            await self._inside(chunk, self._header)
        elif chunk.name == b"strh":
            kind = await self._ahead.read(chunk.start, min(NAMED_START, chunk.length))
            self._shown.append(kind in _SHOWN)
            await self._shorten(chunk, _HEADERS[chunk.name])
        elif chunk.name in _HEADERS:
            await self._shorten(chunk, _HEADERS[chunk.name])
        elif chunk.name == b"strf":
            await self._shorten(chunk, _MAX_FORMAT_BYTES if self._shown and self._shown[-1] else 0)
        else:
            await self._blank(chunk)

    async def _media(self, chunk: Chunk) -> None:
        """Keeps a chunk of a stream that is shown, and an index, whose names begin with `ix`."""
        if await self._list_name(chunk) == b"rec ":
            await self._inside(chunk, self._media)
        elif chunk.name[:2].isdigit():
            number = int(chunk.name[:2])
            if number >= len(self._shown) or not self._shown[number]:
                await self._shorten(chunk, 0)
        elif not (chunk.name[:2] == b"ix" and chunk.name[2:].isdigit()):
            await self._blank(chunk)

    async def _list_name(self, chunk: Chunk) -> bytes:
        if chunk.name != LIST:
            return b""
        if chunk.length < NAMED_START:
            raise Unremovable("a list of an unknown size")
        return await self._ahead.read(chunk.start, NAMED_START)

    async def _shorten(self, chunk: Chunk, kept: int) -> None:
        kept = min(kept, chunk.length)
        await self._ahead.erase(chunk.start + kept, chunk.length - kept)

    async def _blank(self, chunk: Chunk) -> None:
        await self._shorten(chunk, 0)
        if chunk.name != _NOTHING:
            await self._region.write(chunk.begin, _NOTHING)
