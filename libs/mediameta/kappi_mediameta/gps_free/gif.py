"""Location removal for GIF: pictures, timing, repetition and a colour profile stay (GIF89a).

Other extensions become empty comments of the same length. What follows the end becomes zeros.
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers import gif_blocks as gif
from kappi_mediameta.gps_free.edits import Region

_KEPT_APPLICATIONS: Final = frozenset({b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0", b"\x0bICCRGBG1012"})
_MAX_BLOCKS: Final = 1_000_000


async def clean_gif(region: Region) -> None:
    size = region.size_bytes
    async for block in gif.read_blocks(region, most=_MAX_BLOCKS, most_pieces=size, pixels_end=size):
        if block.kind == gif.EXTENSION:
            if not await _is_kept(region, block):
                chain = _empty_chain(min(block.end, size) - block.begin - 2)
                await region.write(block.begin + 1, bytes([gif.COMMENT]) + chain)
        elif block.kind != gif.IMAGE:
            # Decoders read nothing behind the trailer, or behind a block of an unknown kind.
            await region.erase(block.end, size - block.end)
            await region.write(block.begin, bytes([gif.TRAILER]))


async def _is_kept(region: Region, block: gif.GifBlock) -> bool:
    if block.label != gif.APPLICATION:
        return block.label == gif.TIMING
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
