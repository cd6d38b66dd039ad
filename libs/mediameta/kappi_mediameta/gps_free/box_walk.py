"""Walks and edits the boxes of an ISO base media file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box, read_box
from kappi_mediameta.gps_free.edits import Region, Unremovable

_MAX_BOXES: Final = 50_000
"""The limit of boxes of one parent."""
_NO_NAME: Final = bytes(4)
_HANDLER_BYTES: Final = 24
"""Size of the fields of a handler before its name."""


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


async def boxes_in(region: Region, parent: Box) -> dict[bytes, Box]:
    """Returns the boxes of a parent by name, the last of each."""
    return {box.name: box async for box in children(region, parent.start, parent.end)}


async def descend(region: Region, box: Box, *names: bytes) -> Box | None:
    """Returns the box that a path leads to, or None."""
    found: Box | None = box
    for name in names:
        if found is None:
            return None
        inner = [child async for child in children(region, found.start, found.end)]
        found = next((child for child in inner if child.name == name), None)
    return found


async def clean_each(region: Region, start: int, end: int, clean: Callable[[Box], Awaitable[None]]) -> None:
    """Cleans the boxes between two positions, and erases what follows the last box."""
    position = start
    async for box in children(region, start, end):
        await clean(box)
        position = box.end
    await region.erase(position, max(0, end - position))


async def clean_children(region: Region, start: int, end: int, kept: Collection[bytes]) -> None:
    """Blanks the boxes whose name is not kept, and erases what follows the last box."""

    async def clean(box: Box) -> None:
        if box.name not in kept:
            await blank(region, box)

    await clean_each(region, start, end, clean)


async def blank(region: Region, box: Box) -> None:
    """Makes the box `free`. Its name follows four bytes of size, also where a long size follows the name."""
    await region.write(box.begin + 4, b"free")
    await region.erase(box.start, box.size_bytes)


async def erase_handler_name(region: Region, hdlr: Box) -> None:
    await region.erase(hdlr.start + _HANDLER_BYTES, max(0, hdlr.size_bytes - _HANDLER_BYTES))
