"""Boxes of an ISO base media file (ISO/IEC 14496-12, QuickTime File Format)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

# Names of boxes at the top level of a file. A last box of another name is not one that was cut short.
TOP_LEVEL: Final = frozenset(
    name.encode()
    for name in (
        *("ftyp", "styp", "pdin", "moov", "moof", "mdat", "mfra", "sidx", "ssix", "prft", "emsg", "meta"),
        *("meco", "idat", "free", "skip", "wide", "pnot", "uuid", "udta", "mpvd"),
        *("jxlc", "jxlp", "jxll", "jxli", "jbrd", "brob", "jumb", "Exif", "xml ", "jp2h", "jp2c"),
    )
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box. name: four bytes as written. begin: position of its header. start, end: of its body."""

    name: bytes
    begin: int
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


async def read_box(source: ByteSource, position: int, end: int) -> Box | None:
    """Returns the box at a position, which may reach beyond `end`. None: its size is impossible.

    end: of what holds the box. Eight bytes must be left.
    """
    size, name = struct.unpack(">I4s", await source.read(position, 8))
    header = 8
    if size == 1 and end - position >= 16:
        size, header = struct.unpack(">Q", await source.read(position + 8, 8))[0], 16
    elif size == 0:  # "to the end of the file"
        size = end - position
    return Box(name, position, position + header, position + size) if size >= header else None


def boxes_of(body: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and body of the boxes in a body held in memory, from a position on, as far as they are
    whole."""
    while at + 8 <= len(body):
        size, name = struct.unpack_from(">I4s", body, at)
        if size < 8 or at + size > len(body):
            return
        yield name, body[at + 8 : at + size]
        at += size
