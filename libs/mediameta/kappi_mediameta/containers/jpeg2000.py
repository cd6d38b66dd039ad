"""Parts of JPEG 2000: boxes of a file, and the marker segments of its codestream (ISO/IEC 15444-1, annexes A
and I).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

CODESTREAM_START: Final = b"\xff\x4f\xff\x51"
"""The first two markers of a codestream: its start, and the size of the picture."""
FILE_START: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
EXIF_UUID: Final = b"JpgTiffExif->JP2"
XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
IPTC_UUID: Final = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
UUID_BYTES: Final = 16
COMMENT, TILE_PART, TILE_DATA, END = 0xFF64, 0xFF90, 0xFF93, 0xFFD9
_TILE_PART_BYTES: Final = 12
_MAX_SEGMENTS: Final = 2_000
"""The limit of the segments of one header."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. begin: position of its marker. start, end: of its body."""

    marker: int
    begin: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TilePart:
    """A part of a tile: a header of segments, and data. end: None where it reaches to the end of the
    codestream."""

    begin: int
    end: int | None


async def segments(source: ByteSource, position: int, end: int) -> AsyncIterator[Segment]:
    """Yields the segments of a header from a position on. The last one is a tile part, the data of one, or
    the end of the codestream. Raises the source's errors."""
    for _ in range(_MAX_SEGMENTS):
        if end - position < 2:
            return
        (marker,) = struct.unpack(">H", await source.read(position, 2))
        if marker in (TILE_DATA, END):
            yield Segment(marker, position, position + 2, position + 2)
            return
        if end - position < 4:
            return
        length = int.from_bytes(await source.read(position + 2, 2), "big")
        if marker < 0xFF00 or length < 2:
            raise source.damaged("JPEG 2000: impossible segment")
        yield Segment(marker, position, position + 4, position + 2 + length)
        if marker == TILE_PART:
            return
        position += 2 + length
    raise source.too_many("segments")


async def tile_parts(source: ByteSource, position: int, end: int, *, most: int) -> AsyncIterator[TilePart]:
    """Yields tile parts from a position on, as far as there are any. Raises the source's errors."""
    for _ in range(most):
        if end - position < _TILE_PART_BYTES or await source.read(position, 2) != b"\xff\x90":
            return
        length = int.from_bytes(await source.read(position + 6, 4), "big")
        if length and length < _TILE_PART_BYTES + 2:
            raise source.damaged("JPEG 2000: impossible tile")
        yield TilePart(position, position + length if length else None)
        if not length:
            return
        position += length
