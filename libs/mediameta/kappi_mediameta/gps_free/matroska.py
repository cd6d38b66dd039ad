"""A Matroska or WebM file without what no player needs: tags, attachments, chapters, titles and names become
void elements (RFC 9559, RFC 8794). Clusters stay as they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class _Element:
    """begin: of its id. start, end: of its data; end is None where its size is not told."""

    number: int
    begin: int
    start: int
    end: int | None


async def clean_matroska(region: Region) -> None:
    end = 0
    async for top in _elements(region, 0, region.size_bytes):
        end = region.size_bytes if top.end is None else top.end
        if top.number == _SEGMENT:
            end = await _clean_segment(region, top.start, end)
        elif top.number != _HEADER:
            await _void(region, top)
        if top.end is None:
            return
    await region.erase(end, region.size_bytes - end)


async def _clean_segment(region: Region, start: int, end: int) -> int:
    position = start
    async for element in _elements(region, start, end):
        if element.end is None:
            return end  # a live recording's cluster, which has no tags behind it
        if element.number == _INFO:
            await _clean_info(region, element.start, element.end)
        elif element.number == _TRACKS:
            await _clean_tracks(region, element.start, element.end)
        elif element.number not in _KEPT:
            await _void(region, element)
        position = element.end
    await region.erase(position, end - position)
    return end


async def _clean_info(region: Region, start: int, end: int) -> None:
    async for element in _elements(region, start, end):
        if element.number in _EMPTY_INFO and element.end is not None:
            await region.erase(element.start, element.end - element.start)
        elif element.number not in _KEPT_INFO and element.number != _CHECKSUM:
            await _void(region, element)
    await _set_checksum(region, start, end)


async def _clean_tracks(region: Region, start: int, end: int) -> None:
    async for track in _elements(region, start, end):
        if track.number == _TRACK and track.end is not None:
            async for element in _elements(region, track.start, track.end):
                if element.number in _GONE_FROM_TRACK:
                    await _void(region, element)
            await _set_checksum(region, track.start, track.end)
        elif track.number not in (_CHECKSUM, _TRACK):
            await _void(region, track)
    await _set_checksum(region, start, end)


async def _set_checksum(region: Region, start: int, end: int) -> None:
    """Of an element that has one: it comes first in it."""
    async for element in _elements(region, start, end):
        if element.number == _CHECKSUM and element.end is not None:
            body = await region.read(element.end, end - element.end)
            await region.write(element.start, struct.pack("<I", zlib.crc32(body)))
        return


async def _void(region: Region, element: _Element) -> None:
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
