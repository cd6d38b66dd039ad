"""Chunks of a RIFF file, which WebP is (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

FIRST_CHUNK_AT: Final = 12
_HEADER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class RiffChunk:
    """One chunk. begin: position of its header. start, end: of its body, which may reach beyond the end of
    what holds the chunk."""

    name: bytes
    begin: int
    start: int
    end: int

    @property
    def following(self) -> int:
        """Returns the position of the next chunk. A body of odd length has one more byte behind it."""
        return self.end + (self.end - self.start & 1)


async def file_end(source: ByteSource) -> int:
    """Returns the end of the file by its own header."""
    return 8 + int.from_bytes(await source.read(4, 4), "little")


async def read_chunks(source: ByteSource, start: int, end: int, *, most: int) -> AsyncIterator[RiffChunk]:
    """Yields the chunks between two positions, as far as there is room for a header.

    most: number of chunks. Raises the source's error for more.
    """
    position = start
    for _ in range(most):
        if end - position < _HEADER_BYTES:
            return
        name, length = struct.unpack("<4sI", await source.read(position, _HEADER_BYTES))
        body = position + _HEADER_BYTES
        chunk = RiffChunk(name, position, body, body + length)
        yield chunk
        position = chunk.following
    raise source.too_many("chunks")
