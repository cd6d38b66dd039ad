"""Places out of an ISO base media file: films, and pictures that are kept like films (ISO/IEC 14496-12).

A box that tells a place becomes a `free` box of the same size, full of zeros.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_media.location_free.box_walk import Box, children
from kappi_media.location_free.dash_cameras import is_listed_block, zero_listed_blocks
from kappi_media.location_free.edits import Region
from kappi_media.location_free.heif_items import clean_items
from kappi_media.location_free.telemetry import blank_telemetry
from kappi_media.location_free.tiff import clean_tiff
from kappi_media.location_free.xmp import clean_xmp

_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CANON_UUID: Final = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_GARMIN_UUID: Final = bytes.fromhex("9b630f8d637440ec8204bc5ff5091728")
# User data: QuickTime's and 3GPP's places, GoPro's settings and telemetry, dash cameras' tables, Canon's GPS.
_PLACES: Final = frozenset(
    {b"\xa9xyz", b"@xyz", b"loci", b"\xa9gps", b"\xa9loc", b"GPMF", b"CMT4"}
    | {b"gps ", b"GPS ", b"gps0", b"gpsa", b"gsen", b"udat"}
)
# Nikon's records: a tag of their GPS directory, then a type.
_NIKON_PLACE: Final = re.compile(rb"\x01\x20\0[\0-\x1f]\0[\x01-\x0c]")
_PLACE_IN_XML: Final = re.compile(rb"latitude|longitude", re.IGNORECASE)
_TELLING_KEY: Final = re.compile(rb"location|gps|xyz|latitude|longitude|geo|loci", re.IGNORECASE)
# `free`: Pittasoft's boxes lie in one.
_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"udta", b"mpvd", b"free"})
_SAMSUNG_FILM: Final = b"mpvd"


async def clean_boxes(region: Region, *, ends_anywhere: bool = False) -> int:
    """Where the last box ends. ends_anywhere: what follows it is something else, and no fault."""
    end = 0
    async for box in children(region, 0, region.size_bytes, ends_anywhere=ends_anywhere):
        await _clean(region, box)
        end = box.end
    return end


async def _clean(region: Region, box: Box) -> None:
    if box.name == b"gps ":
        await zero_listed_blocks(region, box)
    if box.name in _PLACES:
        await blank(region, box)
    elif box.name == b"meta":
        await _clean_meta(region, box)
    elif box.name == b"uuid":
        await _clean_uuid(region, box)
    elif box.name == b"XMP_":
        await clean_xmp(region.part(box.start, box.size_bytes))
    elif box.name == b"RMKN":  # Ricoh's EXIF
        await clean_tiff(region.part(box.start, box.size_bytes))
    elif await _tells_by_content(region, box):
        await blank(region, box)
    elif box.name in _CONTAINERS:
        await _clean_children(region, box.start, box.end)


async def _clean_children(region: Region, start: int, end: int) -> None:
    async for inner in children(region, start, end, ends_anywhere=True):
        await _clean(region, inner)


async def _tells_by_content(region: Region, box: Box) -> bool:
    if box.name == b"trak":
        return await blank_telemetry(region, box)
    if box.name == b"free":
        return await is_listed_block(region, box)
    if box.name == b"NCDT":
        return _NIKON_PLACE.search(await region.read(box.start, box.size_bytes)) is not None
    return False


async def _clean_uuid(region: Region, box: Box) -> None:
    kind = await region.read(box.start, 16) if box.size_bytes > 16 else b""
    if kind == _XMP_UUID:
        await clean_xmp(region.part(box.start + 16, box.size_bytes - 16))
    elif kind == _CANON_UUID:
        await _clean_children(region, box.start + 16, box.end)
    elif kind == _GARMIN_UUID:
        await blank(region, box)


async def blank(region: Region, box: Box) -> None:
    """Make it `free`. Its name stands four bytes behind its beginning, before a long size if it has one."""
    await region.write(box.begin + 4, b"free")
    region.zero(box.start, box.size_bytes)


async def _clean_meta(region: Region, box: Box) -> None:
    if box.size_bytes < 8:
        return
    # ISO `meta` starts with four bytes of version and flags, QuickTime's with its first box.
    skipped = 0 if await region.read(box.start + 4, 4) == b"hdlr" else 4
    inner = [found async for found in children(region, box.start + skipped, box.end, ends_anywhere=True)]
    by_name = {found.name: found for found in inner}
    keys = await _keys(region, by_name.get(b"keys"))
    if (values := by_name.get(b"ilst")) is not None:
        await _clean_values(region, values, keys)
    if b"iloc" in by_name and b"iinf" in by_name:
        await clean_items(region, by_name)
    for found in inner:
        if found.name == b"XMP_":
            await clean_xmp(region.part(found.start, found.size_bytes))
        elif found.name == b"xml ":
            await _clean_xml(region, found)


async def _clean_xml(region: Region, box: Box) -> None:
    """XMP, or a schema of a maker's own that names places in its values (Sony's `<Item name="Latitude"`)."""
    await clean_xmp(region.part(box.start, box.size_bytes))
    if _PLACE_IN_XML.search(await region.read(box.start, box.size_bytes)):
        await blank(region, box)


async def _keys(region: Region, box: Box | None) -> list[bytes]:
    """Names by number, the first at 0."""
    if box is None or box.size_bytes < 8:
        return []
    return [
        await region.read(key.start, key.size_bytes)
        async for key in children(region, box.start + 8, box.end, ends_anywhere=True)
    ]


async def _clean_values(region: Region, values: Box, keys: list[bytes]) -> None:
    async for value in children(region, values.start, values.end, ends_anywhere=True):
        number = int.from_bytes(value.name, "big")
        name = keys[number - 1] if 1 <= number <= len(keys) else value.name
        if value.name == b"----":
            name = await region.read(value.start, min(value.size_bytes, 256))
        if name in _PLACES or _TELLING_KEY.search(name):
            await blank(region, value)
