"""Places out of IPTC-IIM data, alone or among Photoshop's resources (IIM 4.2, Photoshop File Formats)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kappi_media.location_free.edits import Region
from kappi_media.location_free.xmp import clean_xmp

_IPTC_RESOURCE: Final = 0x0404
_XMP_RESOURCE: Final = 0x0424
_EXIF_RESOURCES: Final = frozenset({0x0422, 0x0423})
_MARKER: Final = 0x1C
# Content location, city, sub-location, state, country.
_PLACES: Final = frozenset({26, 27, 90, 92, 95, 100, 101})
_APPLICATION_RECORD: Final = 2


async def clean_photoshop(region: Region, *, clean_exif: Callable[[Region], Awaitable[None]]) -> None:
    """region: a list of `8BIM` resources. clean_exif: for the EXIF among them, which may hold such a list."""
    position = 0
    while position + 12 <= region.size_bytes:
        head = await region.read(position, 7)
        if head[:4] != b"8BIM":
            return
        name_bytes = 1 + head[6]
        size_at = position + 6 + name_bytes + name_bytes % 2
        if size_at + 4 > region.size_bytes:
            return
        size = int.from_bytes(await region.read(size_at, 4), "big")
        if size_at + 4 + size > region.size_bytes:
            return
        part = region.part(size_at + 4, size)
        number = int.from_bytes(head[4:6], "big")
        if number == _IPTC_RESOURCE:
            await clean_iptc(part)
        elif number == _XMP_RESOURCE:
            await clean_xmp(part)
        elif number in _EXIF_RESOURCES:
            await clean_exif(part)
        position = size_at + 4 + size + size % 2


async def clean_iptc(region: Region) -> None:
    """The places' datasets go, those behind them move up, zeros fill the end, as some writers pad."""
    block = await region.read_all()
    kept = bytearray()
    position = 0
    while position + 5 <= len(block) and block[position] == _MARKER:
        record, dataset = block[position + 1], block[position + 2]
        size = int.from_bytes(block[position + 3 : position + 5], "big")
        if size & 0x8000:  # an extended dataset: the size of the size comes first
            width = size & 0x7FFF
            size = width + int.from_bytes(block[position + 5 : position + 5 + width], "big")
        end = position + 5 + size
        if end > len(block):
            break
        if record != _APPLICATION_RECORD or dataset not in _PLACES:
            kept += block[position:end]
        position = end
    if len(kept) != position:
        kept += block[position:]
        await region.write(0, bytes(kept.ljust(len(block), b"\0")))
