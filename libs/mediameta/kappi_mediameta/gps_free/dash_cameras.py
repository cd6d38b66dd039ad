"""Where dash cameras keep the way that was driven: blocks between the frames, listed in the index.

Such a block (`freeGPS `) is a `free` box whose content begins with `GPS `. Source: ExifTool's
QuickTimeStream.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.edits import MAX_VALUE_BYTES, Outside, Region, Unremovable

_BLOCK_MARK: Final = b"freeGPS "
_HEADER_BYTES: Final = 8


async def zero_listed_blocks(region: Region, table: Box) -> None:
    """table: a `gps ` box, Novatek's. Others keep a log in text under that name, which lists nothing."""
    if table.size_bytes > MAX_VALUE_BYTES:
        raise Unremovable("a table of places without an end")
    body = await region.read(table.start, table.size_bytes)
    if not body.startswith(b"\0"):
        return
    for start, length in struct.iter_unpack(">II", body[8 : len(body) // 8 * 8]):
        with suppress(Outside):
            if await region.read(start + 4, len(_BLOCK_MARK)) == _BLOCK_MARK:
                # Its header stays: where the block is a box of its own, the next is found by it.
                region.zero(start + _HEADER_BYTES, length - _HEADER_BYTES)
