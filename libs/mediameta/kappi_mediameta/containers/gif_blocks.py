"""Blocks of a GIF (CompuServe GIF89a)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from kappi_mediameta.containers.byte_source import ByteSource

EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
TIMING, COMMENT, APPLICATION = 0xF9, 0xFE, 0xFF
"""Labels of extensions."""
_SCREEN_BYTES, _SCREEN_FLAGS_AT = 13, 10
_LONGEST_PIECE = 255
_DESCRIPTOR_BYTES, _PICTURE_FLAGS_AT = 10, 9


class GifBlock(NamedTuple):
    """One block. kind: its first byte. label: of an extension, else 0.

    end: position behind it, or where the walk ended. whole: its data end with an empty piece. full: the last
    other piece is as long as can be, as in the middle of data.
    """

    kind: int
    label: int
    begin: int
    end: int
    whole: bool
    full: bool


async def read_blocks(
    source: ByteSource, *, most: int, most_pieces: int, pixels_end: int
) -> AsyncIterator[GifBlock]:
    """Yields the blocks behind the screen descriptor. The last one is the trailer, or of an unknown kind.

    most: number of blocks. most_pieces: of an extension's data. pixels_end: data of pictures are not followed
    further. Raises the source's error for more parts, and for bytes that are missing.
    """
    walk = _Walk(source)
    position = _SCREEN_BYTES + _table_bytes(await walk.byte_at(_SCREEN_FLAGS_AT))
    for _ in range(most):
        if position >= source.size_bytes:
            return
        begin, kind, label = position, await walk.byte_at(position), 0
        whole, full = True, False
        if kind == EXTENSION:
            label = await walk.byte_at(begin + 1)
            position, whole, full = await walk.end_of_data(begin + 2, source.size_bytes, pieces=most_pieces)
        elif kind == IMAGE:
            data = begin + _DESCRIPTOR_BYTES + _table_bytes(await walk.byte_at(begin + _PICTURE_FLAGS_AT)) + 1
            position, whole, full = await walk.end_of_data(data, pixels_end, pieces=source.size_bytes)
        else:
            position += 1
        yield GifBlock(kind, label, begin, position, whole, full)
        if kind not in (EXTENSION, IMAGE):
            return
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

    async def end_of_data(self, position: int, stop: int, *, pieces: int) -> tuple[int, bool, bool]:
        """Returns the position behind pieces that begin with their length, whether an empty one is last, and
        whether the last of the others is as long as can be.

        The walk ends at `stop` or behind it.
        """
        full = False
        for _ in range(pieces):
            if position >= stop:
                return position, False, full
            length = await self.byte_at(position)
            position += 1 + length
            if not length:
                return position, True, full
            full = length == _LONGEST_PIECE
        raise self._source.too_many("pieces of data")
