"""Places out of Matroska and WebM: a tag that tells one becomes a void element (RFC 9559, RFC 8794)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from kappi_media.location_free.edits import Region, Unremovable

_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG, _TAG_NAME = 0x18538067, 0x1254C367, 0x7373, 0x67C8, 0x45A3
_CHECKSUM, _VOID = 0xBF, 0xEC
_TELLING_NAME: Final = re.compile(rb"location|gps|latitude|longitude|\xc2\xa9xyz|^xyz", re.IGNORECASE)
_MAX_ELEMENTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class _Element:
    """begin: of its id. start, end: of its data; end is None where its size is not told."""

    number: int
    begin: int
    start: int
    end: int | None


async def clean_matroska(region: Region) -> None:
    async for top in _elements(region, 0, region.size_bytes):
        if top.number == _SEGMENT:
            end = region.size_bytes if top.end is None else min(top.end, region.size_bytes)
            async for element in _elements(region, top.start, end):
                if element.number == _TAGS and element.end is not None:
                    await _clean_tags(region, element.start, element.end)
                if element.end is None:
                    return  # a live recording, which has no tags behind it
        if top.end is None:
            return


async def _clean_tags(region: Region, start: int, end: int) -> None:
    """Tags, a tag, or a simple tag with others within; checksums are set right from the inside out."""
    checksum: _Element | None = None
    async for element in _elements(region, start, end):
        if element.end is None:
            raise Unremovable("a tag without an end")
        if element.number == _CHECKSUM:
            checksum = element
        elif element.number == _SIMPLE_TAG and await _tells(region, element):
            await _void(region, element)
        elif element.number in (_TAG, _SIMPLE_TAG):
            await _clean_tags(region, element.start, element.end)
    if checksum is not None and checksum.end is not None:
        body = await region.read(checksum.end, end - checksum.end)
        await region.write(checksum.start, struct.pack("<I", zlib.crc32(body)))


async def _tells(region: Region, tag: _Element) -> bool:
    async for element in _elements(region, tag.start, tag.end or tag.start):
        if element.number == _TAG_NAME and element.end is not None:
            name = await region.read(element.start, min(element.end - element.start, 1024))
            return _TELLING_NAME.search(name) is not None
    return False


async def _void(region: Region, element: _Element) -> None:
    """One void element over all of it, whatever its size takes to write."""
    length = (element.end or element.start) - element.begin
    if length < 10:
        body = bytes([_VOID, 0x80 | (length - 2)]) + bytes(length - 2)
    else:
        body = bytes([_VOID]) + struct.pack(">Q", 1 << 56 | (length - 9)) + bytes(length - 9)
    await region.write(element.begin, body)


async def _elements(region: Region, start: int, end: int) -> AsyncIterator[_Element]:
    position = start
    for _ in range(_MAX_ELEMENTS):
        if position + 2 > end:
            return
        head = await region.read(position, min(12, end - position))
        id_bytes = 9 - head[0].bit_length()
        if id_bytes > 4 or len(head) <= id_bytes:
            return
        size_bytes = 9 - head[id_bytes].bit_length()
        if size_bytes > 8 or len(head) < id_bytes + size_bytes:
            return
        raw = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big")
        size = raw & ((1 << 7 * size_bytes) - 1)
        body = position + id_bytes + size_bytes
        if size == (1 << 7 * size_bytes) - 1:
            yield _Element(int.from_bytes(head[:id_bytes], "big"), position, body, None)
            return
        if body + size > end:
            return
        yield _Element(int.from_bytes(head[:id_bytes], "big"), position, body, body + size)
        position = body + size
    raise Unremovable("too many elements")
