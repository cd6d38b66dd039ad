"""Reads the colour numbers of a PNG (its chunk cICP), which libvips ignores, in a decoder process."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kappi_media.rendering.pieces import Bytes
from kappi_media.rendering.ranged_file import RangedFile

_FIRST_CHUNK_AT: Final = 8
_MAX_CHUNKS: Final = 1_000
_PIXELS: Final = (b"IDAT", b"IEND")
_RGB, _FULL_RANGE = 0, 1


class ColourNumbers(NamedTuple):
    """By H.273."""

    primaries: int
    transfer: int


def colour_numbers(file: RangedFile) -> ColourNumbers | None:
    """Returns the numbers of RGB in full range, or None. They take precedence over a profile."""
    read = Bytes(file)
    position = _FIRST_CHUNK_AT
    for _ in range(_MAX_CHUNKS):
        head = read(position, 12)
        if len(head) < 12:
            return None
        length, name = struct.unpack_from(">I4s", head)
        if name in _PIXELS:
            return None
        if name == b"cICP" and length == 4:
            primaries, transfer, matrix, full_range = head[8:]
            is_plain = (matrix, full_range) == (_RGB, _FULL_RANGE)
            return ColourNumbers(primaries, transfer) if is_plain else None
        position += 12 + length
    return None
