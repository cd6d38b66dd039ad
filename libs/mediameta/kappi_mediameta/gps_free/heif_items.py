"""Location removal for the items of HEIF and AVIF: coded pictures and their parts stay, EXIF is written anew,
other items are erased (ISO/IEC 23008-12, 14496-12 8.11).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers import heif_tables
from kappi_mediameta.containers.heif_tables import IN_FILE, IN_IDAT, ItemEntry, ItemLocation
from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import blank, children, clean_children, erase_handler_name
from kappi_mediameta.gps_free.edits import Outside, Region, Unremovable
from kappi_mediameta.gps_free.kept_exif import keep_little_exif
from kappi_mediameta.gps_free.kept_xmp import keep_little_xmp

_PICTURES: Final = frozenset(b"hvc1 lhv1 hev1 avc1 av01 vvc1 evc1 jpeg j2k1 unci grid iden iovl tmap".split())
_LISTS: Final = frozenset(b"pitm iloc iinf iref iprp idat grpl".split())
_PROPERTIES: Final = frozenset(
    b"ispe pixi colr pasp irot imir clap auxC rloc lsel iscl clli mdcv cclv amve ndwt ster "
    b"hvcC lhvC av1C avcC vvcC evcC jpgC j2kH a1op a1lx oinf tols cmpd uncC cmpC icef".split()
)
_MAX_EXTENTS: Final = 100_000
_SHORTEST_ENTRY_BYTES, _ENTRY_BYTES = 12, 512
"""Of an `infe` box: at least, and as much as is read."""


async def clean_items(region: Region, meta: Sequence[Box]) -> list[tuple[int, int]]:
    """Returns where the items lie in the file, start and length each. meta: the boxes of a `meta` box."""
    by_name = {found.name: found for found in meta}
    places = await _places(region, by_name[b"iloc"])
    items = await _items(region, by_name[b"iinf"])
    idat = by_name.get(b"idat")
    for item in items:
        await _clean_item(region, item, places.get(item.entry.item_id), idat)
    listed = [places[item.entry.item_id] for item in items if item.entry.item_id in places]
    if idat is not None:
        home = region.part(idat.start, idat.size_bytes)
        await home.keep_only(_extents(listed, IN_IDAT, size_bytes=home.size_bytes))
    for box in meta:
        if box.name == b"hdlr":
            await erase_handler_name(region, box)
        elif box.name == b"iprp":
            await _clean_properties(region, box)
        elif box.name not in _LISTS:
            await blank(region, box)
    return _extents(listed, IN_FILE, size_bytes=region.size_bytes)


def _extents(places: Sequence[ItemLocation], method: int, *, size_bytes: int) -> list[tuple[int, int]]:
    """Returns start and length of all extents of that method. size_bytes: of what they lie in."""
    return [
        (start, length or max(0, size_bytes - start))
        for place in places
        if place.method == method
        for start, length in place.extents
    ]


async def _clean_item(region: Region, item: _Item, place: ItemLocation | None, idat: Box | None) -> None:
    entry, texts = item.entry, item.begin + item.entry.names_at
    if entry.is_xmp:  # decoders find it by its content type, which follows its name
        await region.write(texts, b" " * len(entry.names[0]))
        behind = texts + len(entry.names[0]) + len(heif_tables.XMP_TYPE) + 2
        await region.erase(behind, max(0, item.end - behind))
    else:
        await region.erase(texts, item.end - texts)
    if entry.kind in _PICTURES or place is None or not place.extents:
        return
    body = _located(region, place, idat)
    if entry.kind == b"Exif":
        await _clean_exif(body)
    elif entry.is_xmp:
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
    """begin, end: of its `infe` box."""

    entry: ItemEntry
    begin: int
    end: int


async def _items(region: Region, iinf: Box) -> list[_Item]:
    """Returns the listed items. Blanks everything else among them."""
    version = (await region.read(iinf.start, 1))[0]
    found = []
    start = iinf.start + (6 if version == 0 else 8)
    async for box in children(region, start, iinf.end):
        if box.name != b"infe" or box.size_bytes < _SHORTEST_ENTRY_BYTES:
            await blank(region, box)
            continue
        entry = heif_tables.item_entry(await region.read(box.start, min(box.size_bytes, _ENTRY_BYTES)))
        if entry is None:
            raise Unremovable("items without a kind")
        found.append(_Item(entry, box.start, box.end))
    return found


async def _places(region: Region, iloc: Box) -> dict[int, ItemLocation]:
    body = await region.read(iloc.start, iloc.size_bytes)
    try:
        listed = heif_tables.item_locations(body, most_items=_MAX_EXTENTS, most_extents=_MAX_EXTENTS)
        return {place.item_id: place for place in listed}
    except heif_tables.CutShort as short:
        raise Outside("item locations are cut short") from short
    except heif_tables.TooMany as many:
        raise Unremovable("too many extents") from many


def _located(region: Region, place: ItemLocation, idat: Box | None) -> Region:
    if place.method == IN_FILE:
        home = region
    elif place.method == IN_IDAT and idat is not None:
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
    """Writes the TIFF structure anew. The first four bytes are its offset, counted from behind them."""
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
    """Returns the position of the TIFF structure. Some writers leave the offset out, or count it wrong."""
    head = await item.read(0, min(item.size_bytes, 64))
    found = [at for at in (head.find(b"II*\0"), head.find(b"MM\0*")) if at >= 0]
    if not found:
        raise Unremovable("EXIF that cannot be read")
    return min(found)
