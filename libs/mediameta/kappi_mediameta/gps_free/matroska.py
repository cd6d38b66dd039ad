"""A Matroska or WebM file without what no player needs: tags, attachments, chapters, titles and names become
void elements (RFC 9559, RFC 8794). Clusters stay as they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from typing import Final

from kappi_mediameta.containers.ebml import MAX_HEADER_BYTES, Element, element_at
from kappi_mediameta.gps_free.edits import Region, Unremovable

_HEADER, _SEGMENT, _CHECKSUM, _VOID = 0x1A45DFA3, 0x18538067, 0xBF, 0xEC
_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
_KEPT: Final = frozenset({_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES})
# Scale, duration, date, ids of this and of its neighbours. The two programs' names must be there: empty.
_KEPT_INFO: Final = frozenset({0x2AD7B1, 0x4489, 0x4461, 0x73A4, 0x3CB923, 0x3EB923})
_EMPTY_INFO: Final = frozenset({0x4D80, 0x5741})
_TRACK: Final = 0xAE
# Names of the track and its codec, an attachment it wants.
_GONE_FROM_TRACK: Final = frozenset({0x536E, 0x258688, 0x7446})
_MAX_ELEMENTS: Final = 200_000


async def clean_matroska(region: Region) -> None:
    end = 0
    async for top in _elements(region, 0, region.size_bytes):
        end = region.size_bytes if top.end is None else top.end
        if top.id == _SEGMENT:
            end = await _clean_segment(region, top.start, end)
        elif top.id != _HEADER:
            await _void(region, top)
        if top.end is None:
            return
    await region.erase(end, region.size_bytes - end)


async def _clean_segment(region: Region, start: int, end: int) -> int:
    position = start
    async for element in _elements(region, start, end):
        if element.end is None:
            return end  # a live recording's cluster, which has no tags behind it
        if element.id == _INFO:
            await _clean_info(region, element.start, element.end)
        elif element.id == _TRACKS:
            await _clean_tracks(region, element.start, element.end)
        elif element.id not in _KEPT:
            await _void(region, element)
        position = element.end
    await region.erase(position, end - position)
    return end


async def _clean_info(region: Region, start: int, end: int) -> None:
    async for element in _elements(region, start, end):
        if element.id in _EMPTY_INFO and element.end is not None:
            await region.erase(element.start, element.end - element.start)
        elif element.id not in _KEPT_INFO and element.id != _CHECKSUM:
            await _void(region, element)
    await _set_checksum(region, start, end)


async def _clean_tracks(region: Region, start: int, end: int) -> None:
    async for track in _elements(region, start, end):
        if track.id == _TRACK and track.end is not None:
            async for element in _elements(region, track.start, track.end):
                if element.id in _GONE_FROM_TRACK:
                    await _void(region, element)
            await _set_checksum(region, track.start, track.end)
        elif track.id not in (_CHECKSUM, _TRACK):
            await _void(region, track)
    await _set_checksum(region, start, end)


async def _set_checksum(region: Region, start: int, end: int) -> None:
    """Of an element that has one: it comes first in it."""
    async for element in _elements(region, start, end):
        if element.id == _CHECKSUM and element.end is not None:
            body = await region.read(element.end, end - element.end)
            await region.write(element.start, struct.pack("<I", zlib.crc32(body)))
        return


async def _void(region: Region, element: Element) -> None:
    """One void element over all of it, whatever its size takes to write."""
    if element.end is None:
        raise Unremovable("an element without an end")
    length = element.end - element.begin
    if length < 10:
        head = bytes([_VOID, 0x80 | (length - 2)])
    else:
        head = bytes([_VOID]) + struct.pack(">Q", 1 << 56 | (length - 9))
    await region.write(element.begin, head)
    await region.erase(element.begin + len(head), length - len(head))


async def _elements(region: Region, start: int, end: int) -> AsyncIterator[Element]:
    """Yields elements as far as they are whole. Nothing follows one of unknown size."""
    position = start
    for _ in range(_MAX_ELEMENTS):
        element = element_at(await region.read(position, min(MAX_HEADER_BYTES, end - position)), position)
        if element is None or (element.end is not None and element.end > end):
            return
        yield element
        if element.end is None:
            return
        position = element.end
    raise Unremovable("too many elements")
