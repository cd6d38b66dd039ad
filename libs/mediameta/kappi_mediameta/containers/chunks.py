"""Chunks of PNG (W3C PNG, third edition) and of RIFF, which WebP is (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from kappi_mediameta.containers.byte_source import ByteSource

PNG_START, RIFF_START = 8, 12
"""Positions of the first chunks."""
PNG_END: Final = b"IEND"
_HEADER_BYTES, _CHECKSUM_BYTES = 8, 4


class Chunk(NamedTuple):
    """One chunk. begin: position of its header. start, end: of its body. following: where the next begins.

    A chunk that is cut off reaches beyond the end of what holds it.
    """

    name: bytes
    begin: int
    start: int
    end: int
    following: int

    @property
    def length(self) -> int:
        return self.end - self.start


async def png_chunks(source: ByteSource, position: int, *, most: int) -> AsyncIterator[Chunk]:
    """Yields chunks from a position to the last chunk, or as far as there is room for a header.

    most: number of chunks. Raises the source's error for more.
    """
    for _ in range(most):
        if source.size_bytes - position < _HEADER_BYTES:
            return
        length, name = struct.unpack(">I4s", await source.read(position, _HEADER_BYTES))
        end = position + _HEADER_BYTES + length
        yield Chunk(name, position, position + _HEADER_BYTES, end, end + _CHECKSUM_BYTES)
        if name == PNG_END:
            return
        position = end + _CHECKSUM_BYTES
    raise source.too_many("chunks")


async def riff_chunks(source: ByteSource, position: int, end: int, *, most: int) -> AsyncIterator[Chunk]:
    """Yields the chunks between two positions, as far as there is room for a header.

    most: number of chunks. Raises the source's error for more.
    """
    for _ in range(most):
        if end - position < _HEADER_BYTES:
            return
        name, length = struct.unpack("<4sI", await source.read(position, _HEADER_BYTES))
        start = position + _HEADER_BYTES
        chunk = Chunk(name, position, start, start + length, start + length + (length & 1))
        yield chunk
        position = chunk.following
    raise source.too_many("chunks")


async def riff_end(source: ByteSource) -> int:
    """Returns the end of the file by its own header."""
    return 8 + int.from_bytes(await source.read(4, 4), "little")
