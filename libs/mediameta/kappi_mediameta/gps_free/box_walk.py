"""The boxes of an ISO base media file, one after another."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable

_MAX_BOXES: Final = 50_000
"""Of one parent."""


@dataclass(frozen=True, slots=True)
class Box:
    """begin: of its header. start, end: of its body."""

    name: bytes
    begin: int
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


async def children(region: Region, start: int, end: int, *, ends_anywhere: bool) -> AsyncIterator[Box]:
    """Boxes between two positions. ends_anywhere: stops at what is no box instead of raising Unremovable."""
    position = start
    for _ in range(_MAX_BOXES):
        if end - position < 8:
            return
        box = await _box(region, position, end)
        if box is None:
            if ends_anywhere:
                return
            raise Unremovable("a box does not fit")
        yield box
        position = box.end
    raise Unremovable("too many boxes")


async def _box(region: Region, position: int, end: int) -> Box | None:
    size, name = struct.unpack(">I4s", await region.read(position, 8))
    header = 8
    if size == 1 and end - position >= 16:
        size, header = struct.unpack(">Q", await region.read(position + 8, 8))[0], 16
    elif size == 0 and name != b"\0\0\0\0":  # to the end of what holds it; QuickTime ends lists with a zero
        size = end - position
    if size < header or position + size > end:
        return None
    return Box(name, position, position + header, position + size)
