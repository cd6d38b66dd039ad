"""Blocks of a GIF (CompuServe GIF89a)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
TIMING, COMMENT, APPLICATION = 0xF9, 0xFE, 0xFF
"""Labels of extensions."""
SCREEN_FLAGS_AT: Final = 10
_SCREEN_BYTES, _DESCRIPTOR_BYTES = 13, 10


@dataclass(frozen=True, slots=True)
class GifLimits:
    """Bounds of one walk. blocks: number of blocks. pieces: number of data pieces of an extension.

    pixels_end: position from which the data of pictures are not followed.
    """

    blocks: int
    pieces: int
    pixels_end: int


@dataclass(frozen=True, slots=True)
class GifBlock:
    """One block. kind: its first byte. label: of an extension, else 0.

    end: position behind it, or where the walk ended. whole: its data end with an empty piece.
    """

    kind: int
    label: int
    begin: int
    end: int
    whole: bool


async def read_blocks(source: ByteSource, limits: GifLimits) -> AsyncIterator[GifBlock]:
    """Yields the blocks behind the screen descriptor. The last one is the trailer, or of no known kind.

    Raises the source's error for more parts than the limits allow, and for bytes that are missing.
    """
    walk = _Walk(source)
    position = _SCREEN_BYTES + _table_bytes(await walk.byte_at(SCREEN_FLAGS_AT))
    for _ in range(limits.blocks):
        if position >= source.size_bytes:
            return
        block = await walk.block_at(position, limits)
        yield block
        if block.kind not in (EXTENSION, IMAGE):
            return
        position = block.end
    raise source.too_many("blocks")


def _table_bytes(flags: int) -> int:
    """Returns the size of the colour table that follows a descriptor with these flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


class _Walk:
    """Single bytes of a source in rising order, from pieces that are read once."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._start = 0
        self._piece = b""

    async def byte_at(self, position: int) -> int:
        offset = position - self._start
        if not 0 <= offset < len(self._piece):
            if position >= self._source.size_bytes:
                await self._source.read(position, 1)  # raises the source's error
            self._start, self._piece, offset = position, await self._source.scan(position), 0
        return self._piece[offset]

    async def block_at(self, begin: int, limits: GifLimits) -> GifBlock:
        kind = await self.byte_at(begin)
        if kind == EXTENSION:
            label = await self.byte_at(begin + 1)
            end, whole = await self._end_of_data(begin + 2, self._source.size_bytes, pieces=limits.pieces)
            return GifBlock(kind, label, begin, end, whole)
        if kind == IMAGE:
            table_bytes = _table_bytes(await self.byte_at(begin + _DESCRIPTOR_BYTES - 1))
            data = begin + _DESCRIPTOR_BYTES + table_bytes + 1
            end, whole = await self._end_of_data(data, limits.pixels_end, pieces=self._source.size_bytes)
            return GifBlock(kind, 0, begin, end, whole)
        return GifBlock(kind, 0, begin, begin + 1, whole=True)

    async def _end_of_data(self, position: int, stop: int, *, pieces: int) -> tuple[int, bool]:
        """Returns the position behind pieces that begin with their length, and whether an empty one is last.

        The walk ends at `stop` or behind it.
        """
        for _ in range(pieces):
            if position >= stop:
                return position, False
            length = await self.byte_at(position)
            position += 1 + length
            if not length:
                return position, True
        raise self._source.too_many("pieces of data")
