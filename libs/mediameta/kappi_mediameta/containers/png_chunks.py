"""Chunks of a PNG (W3C PNG, third edition)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

FIRST_CHUNK_AT: Final = 8
LAST_CHUNK: Final = b"IEND"
_HEADER_BYTES, _CHECKSUM_BYTES = 8, 4


@dataclass(frozen=True, slots=True)
class PngChunk:
    """One chunk. begin: position of its header. length: of its body, which a checksum follows."""

    name: bytes
    begin: int
    length: int

    @property
    def start(self) -> int:
        return self.begin + _HEADER_BYTES

    @property
    def end(self) -> int:
        """Returns the position behind the checksum, which may lie beyond the end of the file."""
        return self.start + self.length + _CHECKSUM_BYTES


async def read_chunks(source: ByteSource, position: int, *, most: int) -> AsyncIterator[PngChunk]:
    """Yields chunks from a position to the last chunk, or as far as there is room for a header.

    most: number of chunks. Raises the source's error for more.
    """
    for _ in range(most):
        if source.size_bytes - position < _HEADER_BYTES:
            return
        length, name = struct.unpack(">I4s", await source.read(position, _HEADER_BYTES))
        chunk = PngChunk(name, position, length)
        yield chunk
        if name == LAST_CHUNK:
            return
        position = chunk.end
    raise source.too_many("chunks")
