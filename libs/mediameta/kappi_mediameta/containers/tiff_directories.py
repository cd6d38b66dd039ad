"""Directories of a TIFF structure, which EXIF, Apple's maker note and TIFF files are made of.

Source: TIFF 6.0; BigTIFF as in libtiff.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from kappi_mediameta.containers.byte_source import ByteSource

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SLONG, SRATIONAL, LONG8 = 1, 2, 3, 4, 5, 7, 9, 10, 16
TYPE_SIZES: Final = {
    **dict.fromkeys((BYTE, ASCII, 6, UNDEFINED), 1),
    **dict.fromkeys((SHORT, 8), 2),
    **dict.fromkeys((LONG, SLONG, 11, 13), 4),
    **dict.fromkeys((RATIONAL, SRATIONAL, 12, LONG8, 17, 18), 8),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How numbers are written. order: of bytes, for `struct`. big: BigTIFF, with 64-bit offsets."""

    order: str
    big: bool = False

    @property
    def field_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def count_bytes(self) -> int:
        return 8 if self.big else 2

    @property
    def offset_bytes(self) -> int:
        return 8 if self.big else 4

    @property
    def field_form(self) -> str:
        """Returns the form of a field for `struct`: tag, kind, count and the rest."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    def integer(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")


@dataclass(frozen=True, slots=True)
class Field:
    """One entry. rest: its last four (BigTIFF: eight) bytes, the value itself where it fits."""

    tag: int
    kind: int
    count: int
    rest: bytes

    @property
    def size_bytes(self) -> int:
        """Returns the size of the value, or 0 where its kind is unknown."""
        return TYPE_SIZES.get(self.kind, 0) * self.count

    @property
    def is_inline(self) -> bool:
        return self.size_bytes <= len(self.rest)


class Directory(NamedTuple):
    """stated_count: of fields, by the file. fields: as many as were read. following: offset of the next
    directory, empty where it is left out or not read."""

    stated_count: int
    fields: tuple[Field, ...]
    following: bytes


def layout_of(head: bytes) -> Layout | None:
    """Returns the layout of a structure that starts with `head`, at least four bytes."""
    return {
        b"II*\x00": Layout("<"),
        b"MM\x00*": Layout(">"),
        b"II+\x00": Layout("<", big=True),
        b"MM\x00+": Layout(">", big=True),
    }.get(head[:4])


def fields(entries: bytes, layout: Layout) -> Iterator[Field]:
    """Yields the whole fields among `entries`, the body of a directory."""
    whole = len(entries) // layout.field_bytes * layout.field_bytes
    for tag, kind, count, rest in struct.iter_unpack(layout.field_form, entries[:whole]):
        yield Field(tag, kind, count, rest)


async def read_directory(source: ByteSource, layout: Layout, at: int, *, most: int) -> Directory:
    """Returns the directory at a position: its first `most` fields, as far as the file has them.

    Raises the source's error where there is no room for a count.
    """
    count = layout.integer(await source.read(at, layout.count_bytes))
    start = at + layout.count_bytes
    there = min(count, most, (source.size_bytes - start) // layout.field_bytes)
    end = start + there * layout.field_bytes
    entries = await source.read(start, end - start)
    has_next = count <= most and source.size_bytes - end >= layout.offset_bytes
    following = await source.read(end, layout.offset_bytes) if has_next else b""
    return Directory(count, tuple(fields(entries, layout)), following)
