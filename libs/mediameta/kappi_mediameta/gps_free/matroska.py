"""Location removal for Matroska and WebM (RFC 9559, RFC 8794).

Tags, attachments, chapters, titles, names and unknown elements become void elements. Clusters stay.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from kappi_mediameta.containers.ebml import MAX_HEADER_BYTES, Element, element_at
from kappi_mediameta.gps_free.edits import Region, Unremovable

_HEADER, _SEGMENT, _CHECKSUM, _VOID = 0x1A45DFA3, 0x18538067, 0xBF, 0xEC
_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
_SEEK, _CUE_POINT, _CUE_POSITIONS, _CUE_REFERENCE = 0x4DBB, 0xBB, 0xB7, 0xDB
_TRACK, _VIDEO, _AUDIO, _COLOUR, _MASTERING, _PROJECTION = 0xAE, 0xE0, 0xE1, 0x55B0, 0x55D0, 0x7670
_ENCODINGS, _ENCODING, _COMPRESSION, _ADDITION_MAPPING = 0x6D80, 0x6240, 0x5034, 0x41E4
_OPERATION, _PLANES, _PLANE, _JOINED = 0xE2, 0xE3, 0xE4, 0xE9
_DATE: Final = 0x4461
_KEPT: Final = frozenset({_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES})
# The elements that stay, by the element that holds them. Elements that are also keys are walked in turn.
_KEPT_IN: Final[Mapping[int, frozenset[int]]] = {
    # Versions, longest id and size, type of document.
    _HEADER: frozenset({0x4286, 0x42F7, 0x42F2, 0x42F3, 0x4282, 0x4287, 0x4285}),
    _SEEK_HEAD: frozenset({_SEEK}),
    _SEEK: frozenset({0x53AB, 0x53AC}),
    # Scale, duration, date, ids of this and of its neighbours, names of the programs.
    _INFO: frozenset({0x2AD7B1, 0x4489, _DATE, 0x73A4, 0x3CB923, 0x3EB923, 0x4D80, 0x5741}),
    _CUES: frozenset({_CUE_POINT}),
    _CUE_POINT: frozenset({0xB3, _CUE_POSITIONS}),
    _CUE_POSITIONS: frozenset({0xF7, 0xF1, 0xF0, 0xB2, 0x5378, 0xEA, _CUE_REFERENCE}),
    _CUE_REFERENCE: frozenset({0x96}),
    _TRACKS: frozenset({_TRACK}),
    # Number, id, type and flags; timing; language; coding and its settings; what follows below.
    _TRACK: frozenset(
        {0xD7, 0x73C5, 0x83, 0xB9, 0x88, 0x55AA, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x9C, 0x6DE7, 0x6DF8}
        | {0x23E383, 0x234E7A, 0x23314F, 0x537F, 0x55EE, 0x22B59C, 0x22B59D, 0x86, 0x63A2, 0xAA, 0x6FAB}
        | {0x56AA, 0x56BB, _VIDEO, _AUDIO, _ENCODINGS, _ADDITION_MAPPING, _OPERATION}
    ),
    _VIDEO: frozenset(
        {0x9A, 0x9D, 0x53B8, 0x53C0, 0x53B9, 0xB0, 0xBA, 0x54AA, 0x54BB, 0x54CC, 0x54DD, 0x54B0, 0x54BA}
        | {0x54B2, 0x54B3, 0x2EB524, 0x2FB523, 0x2383E3, _COLOUR, _PROJECTION}
    ),
    _COLOUR: frozenset({*range(0x55B1, 0x55BE), _MASTERING}),
    _MASTERING: frozenset(range(0x55D1, 0x55DB)),
    _PROJECTION: frozenset(range(0x7671, 0x7676)),
    _AUDIO: frozenset({0xB5, 0x78B5, 0x9F, 0x7D7B, 0x6264, 0x52F1}),
    _ENCODINGS: frozenset({_ENCODING}),
    _ENCODING: frozenset({0x5031, 0x5032, 0x5033, _COMPRESSION}),
    _COMPRESSION: frozenset({0x4254, 0x4255}),
    _ADDITION_MAPPING: frozenset({0x41F0, 0x41E7, 0x41ED}),
    _OPERATION: frozenset({_PLANES, _JOINED}),
    _PLANES: frozenset({_PLANE}),
    _PLANE: frozenset({0xE5, 0xE6}),
    _JOINED: frozenset({0xED}),
}
# The names of the programs must be there, and may be empty.
_EMPTIED: Final = frozenset({0x4D80, 0x5741})
_MAX_ELEMENTS: Final = 200_000


async def clean_matroska(region: Region) -> None:
    end = 0
    async for top in _elements(region, 0, region.size_bytes):
        end = region.size_bytes if top.end is None else top.end
        if top.id == _SEGMENT:
            end = await _clean_segment(region, top.start, end)
        elif top.id == _HEADER:
            await _clean_master(region, top)
        else:
            await _void(region, top)
        if top.end is None:
            return
    await region.erase(end, region.size_bytes - end)


async def _clean_segment(region: Region, start: int, end: int) -> int:
    position = start
    async for element in _elements(region, start, end):
        if element.end is None:
            return end  # a live recording's cluster, which has no tags behind it
        if element.id in _KEPT_IN:
            await _clean_master(region, element)
        elif element.id not in _KEPT:
            await _void(region, element)
        position = element.end
    await region.erase(position, end - position)
    return end


async def _clean_master(region: Region, master: Element) -> None:
    """Voids unknown elements in an element, on all levels, and corrects its checksum.

    No known element holds itself, so the recursion ends.
    """
    if master.end is None:
        raise Unremovable("an element without an end")
    position = master.start
    async for element in _elements(region, master.start, master.end):
        if element.id in _EMPTIED and element.end is not None:
            await region.erase(element.start, element.end - element.start)
        elif element.id not in _KEPT_IN[master.id] | {_CHECKSUM} or _is_no_date(element):
            await _void(region, element)
        elif element.id in _KEPT_IN:
            await _clean_master(region, element)
        position = element.end or master.end
    await region.erase(position, master.end - position)
    await _set_checksum(region, master.start, master.end)


def _is_no_date(element: Element) -> bool:
    """Returns whether the element of the date holds something else."""
    return element.id == _DATE and element.end != element.start + 8


async def _set_checksum(region: Region, start: int, end: int) -> None:
    """Corrects the checksum of an element that has one, as its first element."""
    async for element in _elements(region, start, end):
        if element.id == _CHECKSUM and element.end is not None:
            body = await region.read(element.end, end - element.end)
            await region.write(element.start, struct.pack("<I", zlib.crc32(body)))
        return


async def _void(region: Region, element: Element) -> None:
    """Writes one void element over an element, for any width of its size."""
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
