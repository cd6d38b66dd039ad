"""Location removal for GIF: pictures, timing, repetition and a colour profile stay (GIF89a).

Other extensions become empty comments of the same length. What follows the end becomes zeros.
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.gif_blocks import (
    APPLICATION,
    COMMENT,
    EXTENSION,
    IMAGE,
    TIMING,
    TRAILER,
    GifBlock,
    GifLimits,
    read_blocks,
)
from kappi_mediameta.gps_free.edits import Region

_KEPT_APPLICATIONS: Final = frozenset({b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0", b"\x0bICCRGBG1012"})
_MAX_BLOCKS: Final = 1_000_000


async def clean_gif(region: Region) -> None:
    size = region.size_bytes
    async for block in read_blocks(region, GifLimits(_MAX_BLOCKS, pieces=size, pixels_end=size)):
        if block.kind == EXTENSION:
            if not await _is_kept(region, block):
                chain = _empty_chain(min(block.end, size) - block.begin - 2)
                await region.write(block.begin + 1, bytes([COMMENT]) + chain)
        elif block.kind != IMAGE:
            # Decoders read nothing behind the trailer, or behind a block of an unknown kind.
            await region.erase(block.end, size - block.end)
            await region.write(block.begin, bytes([TRAILER]))


async def _is_kept(region: Region, block: GifBlock) -> bool:
    if block.label != APPLICATION:
        return block.label == TIMING
    name = await region.read(block.begin + 2, min(12, region.size_bytes - block.begin - 2))
    return name in _KEPT_APPLICATIONS


def _empty_chain(length: int) -> bytes:
    """Returns data pieces of zeros that take `length` bytes, the empty one at the end included."""
    chain = bytearray()
    while length > 1:
        taken = min(256, length - 1)
        taken -= length - taken == 2  # two bytes alone are no chain
        chain += bytes([taken - 1]) + bytes(taken - 1)
        length -= taken
    return bytes(chain) + bytes(length)
