"""EXIF and XMP among the items of a HEIF or AVIF file (ISO/IEC 23008-12, 14496-12 8.11)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kappi_media.location_free.box_walk import Box, children
from kappi_media.location_free.edits import Outside, Region, Unremovable
from kappi_media.location_free.tiff import clean_tiff
from kappi_media.location_free.xmp import clean_xmp

_XMP_TYPE: Final = b"application/rdf+xml"
_IN_FILE, _IN_IDAT = 0, 1
_MAX_EXTENTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an item lies. extents: (offset, length); a length of 0 is all that follows."""

    method: int
    extents: tuple[tuple[int, int], ...]


async def clean_items(region: Region, meta: Mapping[bytes, Box]) -> None:
    """meta: the boxes of a `meta` box, by name."""
    wanted = await _metadata_items(region, meta[b"iinf"])
    if not wanted:
        return
    places = await _Locations(region, meta[b"iloc"]).read()
    for item_id, kind in wanted.items():
        if item_id in places:
            item = _located(region, places[item_id], meta.get(b"idat"))
            await (_clean_exif(item) if kind == b"Exif" else clean_xmp(item))


async def _metadata_items(region: Region, iinf: Box) -> dict[int, bytes]:
    """Ids of the items that are metadata, with their type."""
    version = (await region.read(iinf.start, 1))[0]
    found = {}
    async for entry in children(
        region, iinf.start + (6 if version == 0 else 8), iinf.end, ends_anywhere=True
    ):
        if entry.name != b"infe" or entry.size_bytes < 12:
            continue
        body = await region.read(entry.start, min(entry.size_bytes, 512))
        if body[0] < 2:
            continue
        id_bytes = 2 if body[0] == 2 else 4
        item_id = int.from_bytes(body[4 : 4 + id_bytes], "big")
        kind = body[6 + id_bytes : 10 + id_bytes]
        names = body[10 + id_bytes :].split(b"\0")
        if kind == b"Exif" or (kind == b"mime" and len(names) > 1 and names[1].startswith(_XMP_TYPE)):
            if kind == b"mime" and len(names) > 2 and names[2]:
                raise Unremovable("packed XMP")
            found[item_id] = kind
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
        return
    (offset,) = struct.unpack(">I", await item.read(0, 4))
    start = 4 + offset
    if start + 8 > item.size_bytes or await item.read(start, 2) not in (b"II", b"MM"):
        start = await _tiff_at(item)
    await clean_tiff(item.part(start, item.size_bytes - start))


async def _tiff_at(item: Region) -> int:
    """Some writers leave the offset out, or count it wrong."""
    head = await item.read(0, min(item.size_bytes, 64))
    found = [at for at in (head.find(b"II*\0"), head.find(b"MM\0*")) if at >= 0]
    if not found:
        raise Unremovable("EXIF that cannot be read")
    return min(found)
