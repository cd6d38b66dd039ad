"""Location removal for Matroska and WebM (RFC 9559, RFC 8794).

Attachments, chapters, titles, names and unknown elements become void elements, and so do most tags. Clusters
stay as they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from kappi_mediameta.containers.ebml import MAX_HEADER_BYTES, Element, element_at
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.kept_tags import MAX_VALUE_BYTES, kept_tags
from kappi_mediameta.probing.matroska import TRACK_UIDS

_HEADER, _SEGMENT, _CHECKSUM, _VOID = 0x1A45DFA3, 0x18538067, 0xBF, 0xEC
_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
_SEEK, _CUE_POINT, _CUE_POSITIONS, _CUE_REFERENCE = 0x4DBB, 0xBB, 0xB7, 0xDB
_TRACK, _VIDEO, _AUDIO, _COLOUR, _MASTERING, _PROJECTION = 0xAE, 0xE0, 0xE1, 0x55B0, 0x55D0, 0x7670
_ENCODINGS, _ENCODING, _COMPRESSION, _ADDITION_MAPPING = 0x6D80, 0x6240, 0x5034, 0x41E4
_OPERATION, _PLANES, _PLANE, _JOINED = 0xE2, 0xE3, 0xE4, 0xE9
_TAGS, _TAG, _TARGETS = 0x1254C367, 0x7373, 0x63C0
_SIMPLE_TAG, _TAG_NAME, _TAG_TEXT = 0x67C8, 0x45A3, 0x4487
_KEPT: Final = frozenset({_SEEK_HEAD, _INFO, _TRACKS, _CLUSTER, _CUES})
# The elements that stay, by the element that holds them. Elements that are also keys are walked in turn.
_KEPT_IN: Final[Mapping[int, frozenset[int]]] = {
    # Versions, longest id and size, type of document.
    _HEADER: frozenset({0x4286, 0x42F7, 0x42F2, 0x42F3, 0x4282, 0x4287, 0x4285}),
    _SEEK_HEAD: frozenset({_SEEK}),
    _SEEK: frozenset({0x53AB, 0x53AC}),
    # Scale, duration, date, ids of this and of its neighbours, names of the programs.
    _INFO: frozenset({0x2AD7B1, 0x4489, 0x4461, 0x73A4, 0x3CB923, 0x3EB923, 0x4D80, 0x5741}),
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
    _TAGS: frozenset({_TAG}),
    _TAG: frozenset({_TARGETS, _SIMPLE_TAG}),
    _TARGETS: frozenset(),
    _SIMPLE_TAG: frozenset({_TAG_NAME, _TAG_TEXT}),
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
        if element.id == _TAGS:
            await _clean_tags(region, element)
        elif element.id in _KEPT_IN:
            await _clean_master(region, element)
        elif element.id not in _KEPT:
            await _void(region, element)
        position = element.end
    await region.erase(position, end - position)
    return end


async def _clean_tags(region: Region, tags: Element) -> None:
    """Keeps the time of capture and the camera, of tags about the whole file."""
    inner = [tag async for tag in _elements(region, tags.start, tags.end or tags.start) if tag.id == _TAG]
    kept = [await _kept_values(region, tag) for tag in inner]
    if not any(kept):
        await _void(region, tags)
        return
    for tag, values in zip(inner, kept, strict=True):
        below = [field async for field in _elements(region, tag.start, tag.end or tag.start)]
        for element in below if values else [tag]:
            if element in values:
                await region.write(*values[element])
            elif element.id in (_SIMPLE_TAG, _TAG):
                await _void(region, element)
    await _clean_master(region, tags)


async def _kept_values(region: Region, tag: Element) -> dict[Element, tuple[int, bytes]]:
    """Returns position and value of the texts that stay, by the element that holds name and text."""
    found: dict[str, tuple[Element, Element, bytes]] = {}
    async for element in _elements(region, tag.start, tag.end or tag.start):
        fields = [field async for field in _elements(region, element.start, element.end or element.start)]
        if element.id == _TARGETS and not TRACK_UIDS.isdisjoint(field.id for field in fields):
            return {}
        named = {field.id: field for field in fields if field.id in (_TAG_NAME, _TAG_TEXT)}
        if element.id == _SIMPLE_TAG and len(named) == 2:
            name = (await _short(region, named[_TAG_NAME])).decode("latin-1").lower()
            found[name] = element, named[_TAG_TEXT], await _short(region, named[_TAG_TEXT])
    kept = kept_tags({name: text for name, (_, _, text) in found.items()})
    return {found[name][0]: (found[name][1].start, value) for name, value in kept.items()}


async def _short(region: Region, element: Element) -> bytes:
    """Returns a text, or nothing where it is too long for one that stays."""
    length = (element.end or element.start) - element.start
    return await region.read(element.start, length) if length <= MAX_VALUE_BYTES else b""


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
        elif element.id not in _KEPT_IN[master.id] and element.id != _CHECKSUM:
            await _void(region, element)
        elif element.id in _KEPT_IN:
            await _clean_master(region, element)
        position = element.end or master.end
    await region.erase(position, master.end - position)
    await _set_checksum(region, master.start, master.end)


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
