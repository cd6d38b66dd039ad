"""Tables of the items of a HEIF file: `iloc` and `infe` (ISO/IEC 14496-12, 8.11).

Each side reads the boxes into memory within its own bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

IN_FILE, IN_IDAT = 0, 1
"""Construction methods: where the extents of an item lie."""
XMP_TYPE: Final = b"application/rdf+xml"


class CutShort(Exception):
    """A table ends within a number."""


class TooMany(Exception):
    """A table has more entries than are read."""


class Cursor:
    """Reads numbers of given widths one after the other. Raises CutShort past the end."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body = body
        self.at = at

    def number(self, width: int) -> int:
        self.at += width
        if self.at > len(self._body):
            raise CutShort
        return int.from_bytes(self._body[self.at - width : self.at], "big")

    def count(self, width: int, *, most: int) -> int:
        """Returns a number of entries. Raises TooMany."""
        number = self.number(width)
        if number > most:
            raise TooMany
        return number


class ItemLocation(NamedTuple):
    """Where an item lies. extents: offset and length each. in_this_file: no other file holds the bytes."""

    item_id: int
    method: int
    in_this_file: bool
    extents: tuple[tuple[int, int], ...]


def item_locations(iloc: bytes, *, most_items: int, most_extents: int) -> Iterator[ItemLocation]:
    """Yields the entries of a box, whose fields are as wide as it says itself. Raises CutShort, TooMany.

    most_extents: of all items together.
    """
    cursor = Cursor(iloc)
    version, _, widths = cursor.number(1), cursor.number(3), cursor.number(2)
    offset_width, length_width, base_width = widths >> 12, widths >> 8 & 15, widths >> 4 & 15
    index_width = widths & 15 if version else 0
    id_width = 2 if version < 2 else 4
    for _ in range(cursor.count(id_width, most=most_items)):
        item_id = cursor.number(id_width)
        method = cursor.number(2) & 15 if version else IN_FILE
        in_this_file = cursor.number(2) == 0
        base = cursor.number(base_width)
        extents = []
        count = cursor.count(2, most=most_extents)
        most_extents -= count
        for _ in range(count):
            cursor.number(index_width)
            offset = base + cursor.number(offset_width)
            extents.append((offset, cursor.number(length_width)))
        yield ItemLocation(item_id, method, in_this_file, tuple(extents))


class ItemEntry(NamedTuple):
    """An item by its `infe` box. names_at: position in the box of its texts, each with a NUL behind it.

    names: of a `mime` item its name, content type and content encoding.
    """

    item_id: int
    kind: bytes
    names_at: int
    names: tuple[bytes, ...]

    @property
    def is_packed(self) -> bool:
        """Returns whether a `mime` item names a content encoding."""
        return self.kind == b"mime" and len(self.names) > 2 and self.names[2] != b""

    @property
    def is_xmp(self) -> bool:
        return self.kind == b"mime" and self.names[1:2] == (XMP_TYPE,) and not self.is_packed


def item_entry(infe: bytes) -> ItemEntry | None:
    """Returns the item, or None for a box of an old version, which has no kind. Raises CutShort."""
    if infe[:1] < b"\x02":
        return None
    cursor = Cursor(infe, 4)
    item_id = cursor.number(4 if infe[0] >= 3 else 2)
    cursor.number(2)
    names_at = cursor.at + 4
    return ItemEntry(item_id, infe[cursor.at : names_at], names_at, tuple(infe[names_at:].split(b"\x00")))
