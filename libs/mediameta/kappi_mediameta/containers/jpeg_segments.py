"""Segments of a JPEG (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.byte_source import ByteSource

MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
MAX_BETWEEN_BYTES: Final = 4 << 10
"""The limit of bytes between segments. Decoders skip them; further on no marker is looked for."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8), END_OF_IMAGE})


async def next_marker(source: ByteSource, position: int) -> int:
    """Returns the position of the next marker, behind fill bytes and bytes that belong to no segment.

    Raises the source's error where there is none.
    """
    length = max(0, min(MAX_BETWEEN_BYTES, source.size_bytes - position))
    found = MARKER.search(await source.read(position, length))
    if found is None:
        if length < MAX_BETWEEN_BYTES:
            await source.read(position, length + 1)  # raises the error for missing bytes
        raise source.damaged("no marker where one must be")
    return position + found.start()


async def segment_at(source: ByteSource, position: int) -> tuple[int, int]:
    """Returns the marker at a position and the length of its segment, 0 for a marker without one.

    Raises the source's error for an impossible length.
    """
    marker = (await source.read(position, 2))[1]
    if marker in _STANDALONE:
        return marker, 0
    length = int.from_bytes(await source.read(position + 2, 2), "big")
    if length < 2:
        raise source.damaged("impossible segment")
    return marker, length
