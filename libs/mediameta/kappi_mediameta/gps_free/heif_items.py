"""The items of a HEIF or AVIF file: coded pictures and what they are made of stay, EXIF is written anew,
nothing is left of the others (ISO/IEC 23008-12, 14496-12 8.11).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import blank, children, clean_children
from kappi_mediameta.gps_free.edits import Outside, Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif
from kappi_mediameta.gps_free.kept_xmp import keep_little_xmp

_XMP_TYPE: Final = b"application/rdf+xml"
_PICTURES: Final = frozenset(b"hvc1 lhv1 hev1 avc1 av01 vvc1 evc1 jpeg j2k1 unci grid iden iovl tmap".split())
_LISTS: Final = frozenset(b"pitm iloc iinf iref iprp idat grpl".split())
_PROPERTIES: Final = frozenset(
    b"ispe pixi colr pasp irot imir clap auxC rloc lsel iscl clli mdcv cclv amve ndwt ster "
    b"hvcC lhvC av1C avcC vvcC evcC jpgC j2kH a1op a1lx oinf tols cmpd uncC cmpC icef".split()
)
_IN_FILE, _IN_IDAT = 0, 1
_MAX_EXTENTS: Final = 100_000
_HANDLER_BYTES: Final = 24
"""Of a handler, before its name."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an item lies. extents: (offset, length); a length of 0 is all that follows."""

    method: int
    extents: tuple[tuple[int, int], ...]


async def clean_items(region: Region, meta: Sequence[Box]) -> list[tuple[int, int]]:
    """Returns where the items lie in the file, start and length each. meta: the boxes of a `meta` box."""
    by_name = {found.name: found for found in meta}
    places = await _Locations(region, by_name[b"iloc"]).read()
    items = await _items(region, by_name[b"iinf"])
    idat = by_name.get(b"idat")
    for item in items:
        await _clean_item(region, item, places.get(item.number), idat)
    listed = [places[item.number] for item in items if item.number in places]
    if idat is not None:
        home = region.part(idat.start, idat.size_bytes)
        await home.keep_only(_extents(listed, _IN_IDAT, size_bytes=home.size_bytes))
    for box in meta:
        if box.name == b"hdlr":
            await region.erase(box.start + _HANDLER_BYTES, max(0, box.size_bytes - _HANDLER_BYTES))
        elif box.name == b"iprp":
            await _clean_properties(region, box)
        elif box.name not in _LISTS:
            await blank(region, box)
    return _extents(listed, _IN_FILE, size_bytes=region.size_bytes)


def _extents(places: Sequence[_Place], method: int, *, size_bytes: int) -> list[tuple[int, int]]:
    """Returns start and length of all extents of that method. size_bytes: of what they lie in."""
    return [
        (start, length or max(0, size_bytes - start))
        for place in places
        if place.method == method
        for start, length in place.extents
    ]


async def _clean_item(region: Region, item: _Item, place: _Place | None, idat: Box | None) -> None:
    if item.is_xmp:  # found by its type, behind its name
        await region.write(item.name_at, b" " * (item.end - item.name_at))
    else:
        await region.erase(item.name_at, item.end - item.name_at)
    if item.kind in _PICTURES or place is None or not place.extents:
        return
    body = _located(region, place, idat)
    if item.kind == b"Exif":
        await _clean_exif(body)
    elif item.is_xmp:
        await keep_little_xmp(body)
    else:
        await body.erase(0, body.size_bytes)


async def _clean_properties(region: Region, iprp: Box) -> None:
    await clean_children(region, iprp.start, iprp.end, (b"ipco", b"ipma"))
    async for found in children(region, iprp.start, iprp.end):
        if found.name == b"ipco":
            await clean_children(region, found.start, found.end, _PROPERTIES)


@dataclass(frozen=True, slots=True)
class _Item:
    """name_at: where texts begin that no decoder needs; they go to `end`."""

    number: int
    kind: bytes
    is_xmp: bool
    name_at: int
    end: int


async def _items(region: Region, iinf: Box) -> list[_Item]:
    """Those that are listed; nothing is left of what else lies among them."""
    version = (await region.read(iinf.start, 1))[0]
    found = []
    start = iinf.start + (6 if version == 0 else 8)
    async for entry in children(region, start, iinf.end):
        if entry.name != b"infe" or entry.size_bytes < 12:
            await blank(region, entry)
            continue
        body = await region.read(entry.start, min(entry.size_bytes, 512))
        if body[0] < 2:
            raise Unremovable("items of a kind that is not told")
        id_bytes = 2 if body[0] == 2 else 4
        kind = body[6 + id_bytes : 10 + id_bytes]
        names = body[10 + id_bytes :].split(b"\0")
        is_xmp = kind == b"mime" and len(names) > 1 and names[1].startswith(_XMP_TYPE)
        if is_xmp and len(names) > 2 and names[2]:
            is_xmp = False  # packed
        name_at = entry.start + 10 + id_bytes
        end = name_at + len(names[0]) if is_xmp else entry.end
        found.append(_Item(int.from_bytes(body[4 : 4 + id_bytes], "big"), kind, is_xmp, name_at, end))
    return found


class _Locations:
    """Reads `iloc`, whose fields are as wide as it says itself."""

    def __init__(self, region: Region, box: Box) -> None:
        self._region = region
        self._position = box.start
        self._end = box.end

    async def read(self) -> dict[int, _Place]:
        version = await self._number(1)
        await self._number(3)
        widths = await self._number(2)
        offset_width, length_width = widths >> 12, widths >> 8 & 15
        base_width, index_width = widths >> 4 & 15, widths & 15 if version else 0
        count = await self._number(2 if version < 2 else 4)
        places, extents = {}, 0
        for _ in range(count):
            item_id = await self._number(2 if version < 2 else 4)
            method = await self._number(2) & 15 if version else _IN_FILE
            await self._number(2)
            base = await self._number(base_width)
            pieces = []
            for _ in range(await self._number(2)):
                await self._number(index_width)
                offset = base + await self._number(offset_width)
                pieces.append((offset, await self._number(length_width)))
            extents += len(pieces)
            if extents > _MAX_EXTENTS:
                raise Unremovable("too many extents")
            places[item_id] = _Place(method, tuple(pieces))
        return places

    async def _number(self, width: int) -> int:
        if self._position + width > self._end:
            raise Outside("item locations are cut short")
        raw = await self._region.read(self._position, width)
        self._position += width
        return int.from_bytes(raw, "big")


def _located(region: Region, place: _Place, idat: Box | None) -> Region:
    if place.method == _IN_FILE:
        home = region
    elif place.method == _IN_IDAT and idat is not None:
        home = region.part(idat.start, idat.size_bytes)
    else:
        raise Unremovable("metadata made of other items")
    parts = [home.part(start, length or home.size_bytes - start) for start, length in place.extents]
    if not parts:
        raise Outside("an item without a place")
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.joined(part)
    return whole


async def _clean_exif(item: Region) -> None:
    """The TIFF structure begins where the first four bytes say, seen from behind them."""
    if item.size_bytes < 12:
        await item.erase(0, item.size_bytes)
        return
    (offset,) = struct.unpack(">I", await item.read(0, 4))
    start = 4 + offset
    if start + 8 > item.size_bytes or await item.read(start, 2) not in (b"II", b"MM"):
        start = await _tiff_at(item)
    await keep_little_exif(item.part(start, item.size_bytes - start))
    if start > 4:
        await item.write(4, (b"Exif\0\0" if start == 10 else b"").ljust(start - 4, b"\0"))


async def _tiff_at(item: Region) -> int:
    """Some writers leave the offset out, or count it wrong."""
    head = await item.read(0, min(item.size_bytes, 64))
    found = [at for at in (head.find(b"II*\0"), head.find(b"MM\0*")) if at >= 0]
    if not found:
        raise Unremovable("EXIF that cannot be read")
    return min(found)
