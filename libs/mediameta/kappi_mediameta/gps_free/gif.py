"""A GIF without what no decoder needs: pictures, timing, repetition and a colour profile stay.

Other extensions become empty comments of the same length, and nothing is left behind the end (GIF89a).
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_TIMING, _APPLICATION, _COMMENT = 0xF9, 0xFF, 0xFE
_KEPT_APPLICATIONS: Final = frozenset({b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"})
_MAX_BLOCKS: Final = 1_000_000


async def clean_gif(region: Region) -> None:
    bytes_of = _Bytes(region)
    flags = await bytes_of.at(10)
    position = 13 + _table_bytes(flags)
    for _ in range(_MAX_BLOCKS):
        if position >= region.size_bytes:
            return
        kind = await bytes_of.at(position)
        if kind == _IMAGE:
            position += 10 + _table_bytes(await bytes_of.at(position + 9)) + 1
            position = await _behind_blocks(bytes_of, position)
        elif kind == _EXTENSION:
            end = await _behind_blocks(bytes_of, position + 2)
            if not await _is_kept(region, bytes_of, position):
                await region.write(position + 1, bytes([_COMMENT]) + _empty_blocks(end - position - 2))
            position = end
        else:
            # The end, or what no decoder reads on behind.
            await region.erase(position + 1, region.size_bytes - position - 1)
            if kind != _TRAILER:
                await region.write(position, bytes([_TRAILER]))
            return
    raise Unremovable("too many blocks")


async def _is_kept(region: Region, bytes_of: _Bytes, position: int) -> bool:
    label = await bytes_of.at(position + 1)
    if label == _TIMING:
        return True
    if label != _APPLICATION or await bytes_of.at(position + 2) != 11:
        return False
    return await region.read(position + 3, 11) in _KEPT_APPLICATIONS


async def _behind_blocks(bytes_of: _Bytes, position: int) -> int:
    """Behind a chain of data blocks, each with its length first, the last of none."""
    while position < bytes_of.size_bytes:
        length = await bytes_of.at(position)
        position += 1 + length
        if length == 0:
            return position
    return bytes_of.size_bytes


def _empty_blocks(length: int) -> bytes:
    """A chain of zeros that takes this many bytes, from the first length to the last."""
    chain = bytearray()
    while length > 1:
        taken = min(256, length - 1)
        taken -= length - taken == 2  # two bytes alone are no chain
        chain += bytes([taken - 1]) + bytes(taken - 1)
        length -= taken
    return bytes(chain) + bytes(length)


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


class _Bytes:
    """Single bytes of a region, in rising order, read a megabyte at a time."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._start = 0
        self._piece = b""
        self.size_bytes = region.size_bytes

    async def at(self, position: int) -> int:
        if not self._start <= position < self._start + len(self._piece):
            if position >= self.size_bytes:
                raise Unremovable("a GIF that is cut off")
            self._start = position
            self._piece = await self._region.file.scan(self._region.start_in_file() + position)
        return self._piece[position - self._start]
