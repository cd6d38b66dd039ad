"""Elements of an EBML file, and numbers in them (RFC 8794)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAX_ID_BYTES, _MAX_SIZE_BYTES = 4, 8
MAX_HEADER_BYTES: Final = _MAX_ID_BYTES + _MAX_SIZE_BYTES


@dataclass(frozen=True, slots=True)
class Element:
    """One element. id: with its marker bits, as specifications print it. begin: position of its header.
    start, end: of its body; end is None where the size is unknown."""

    id: int
    begin: int
    start: int
    end: int | None


def element_at(head: bytes, position: int) -> Element | None:
    """Returns the element whose header starts `head`, or None. position: of `head` in the file."""
    id_bytes = _width(head[:1], most=_MAX_ID_BYTES)
    size_bytes = _width(head[id_bytes : id_bytes + 1], most=_MAX_SIZE_BYTES)
    if not id_bytes or not size_bytes or len(head) < id_bytes + size_bytes:
        return None
    written = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
    size = written & ((1 << 7 * size_bytes) - 1)
    start = position + id_bytes + size_bytes
    unknown = size == (1 << 7 * size_bytes) - 1
    return Element(int.from_bytes(head[:id_bytes], "big"), position, start, None if unknown else start + size)


def _width(first: bytes, *, most: int) -> int:
    """Returns the number of bytes of a number that starts with this byte, or 0 where it is too long."""
    width = 9 - first[0].bit_length() if first else 0
    return width if width <= most else 0


def parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields id and body of the elements in a body held in memory, as far as they are whole."""
    position = 0
    while position < len(body):
        element = element_at(body[position : position + MAX_HEADER_BYTES], position)
        if element is None or element.end is None or element.end > len(body):
            return
        yield element.id, body[element.start : element.end]
        position = element.end


def unsigned(body: bytes) -> int:
    return int.from_bytes(body[:8], "big")


def signed(body: bytes) -> int:
    return int.from_bytes(body[:8], "big", signed=True)


def real(body: bytes) -> float:
    """Returns the number, or 0 where the body is not one."""
    if len(body) == 4:
        return float(struct.unpack(">f", body)[0])
    return float(struct.unpack(">d", body)[0]) if len(body) == 8 else 0.0


def string(body: bytes) -> str:
    return body.split(b"\x00", 1)[0].decode("utf-8", "replace")
