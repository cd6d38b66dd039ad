"""Boxes of an ISO base media file whose content is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box, read_box
from kappi_mediameta.gps_free.edits import Region, Unremovable

_MAX_BOXES: Final = 50_000
"""Of one parent."""
_NO_NAME: Final = bytes(4)


async def children(region: Region, start: int, end: int) -> AsyncIterator[Box]:
    """Yields the boxes between two positions, as far as they are whole."""
    position = start
    for _ in range(_MAX_BOXES):
        if end - position < 8:
            return
        box = await read_box(region, position, end)
        # QuickTime ends lists with a zero.
        if box is None or box.end > end or box.name == _NO_NAME:
            return
        yield box
        position = box.end
    raise Unremovable("too many boxes")
