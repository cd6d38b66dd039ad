"""An ISO base media file without what no player needs: films, and pictures
kept like films (ISO/IEC 14496-12).

Boxes stay that decoders read; any other becomes a `free` box of the same size, full of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box
from kappi_mediameta.gps_free.box_walk import blank, children, clean_children, descend, erase_handler_name
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.heif_items import clean_items
from kappi_mediameta.gps_free.media_data import MediaData
from kappi_mediameta.gps_free.sample_descriptions import clean_descriptions
from kappi_mediameta.gps_free.tracks import handler_of, is_kept

_MEDIA: Final = frozenset(b"ftyp styp mdat sidx ssix prft".split())
_FRAGMENT_INDEX: Final = (b"tfra", b"mfro")
_PADDING: Final = frozenset({b"free", b"skip", b"wide"})
_FRAGMENT: Final = frozenset(b"mfhd tfhd tfdt trun sbgp sgpd subs saiz saio senc".split())
_INDEX: Final = frozenset(
    b"mvhd tkhd elst mdhd elng vmhd smhd nmhd sthd mehd trex tref gmin clef prof enof stsd "
    b"stts ctts cslg stss stps stsh stdp stsz stz2 stsc stco co64 sdtp sbgp sgpd subs saiz saio padb".split()
)
_KEPT: Final = _MEDIA | _FRAGMENT | _INDEX
_CONTAINERS: Final = frozenset(b"moov edts mdia minf stbl gmhd tapt mvex moof traf".split())
_REFERENCE: Final = frozenset({b"url ", b"urn ", b"alis", b"rsrc"})
# What binds a film to its picture; its value is the one that is read of a Live Photo.
_LIVE_KEY: Final = b"com.apple.quicktime.content.identifier"
_LIVE_ID: Final = re.compile(rb"[0-9A-Za-z_-]{8,64}")
_VALUE_HEADER_BYTES: Final = 16


async def clean_boxes(region: Region, *, ends_anywhere: bool = False) -> int:
    """Returns where the last box ends. ends_anywhere: what follows it is something else, and no fault."""
    end = 0
    media = MediaData(region)
    cleaner = _Cleaner(region, media)
    boxes = [box async for box in children(region, 0, region.size_bytes)]
    for box in boxes:
        if box.name == b"moov":
            await media.keep_movie(box)
        elif box.name == b"moof":
            await media.keep_fragment(box)
        await cleaner.clean(box)
        end = box.end
    await media.erase_others(box for box in boxes if box.name == b"mdat")
    if not ends_anywhere:
        if not end or (await region.read(end, min(8, region.size_bytes - end)))[4:] in TOP_LEVEL:
            raise Unremovable("a box does not fit")
        await region.erase(end, region.size_bytes - end)
    return end


class _Cleaner:
    """Cleans the boxes of one file. media: is told where items lie."""

    def __init__(self, region: Region, media: MediaData) -> None:
        self._region = region
        self._media = media

    async def clean(self, box: Box) -> None:
        region = self._region
        if box.name == b"trak":
            await self._clean_track(box)
        elif box.name == b"mpvd":  # Samsung's film behind a HEIC: a file of its own
            await clean_boxes(region.part(box.start, box.size_bytes))
        elif box.name == b"mfra":
            await clean_children(region, box.start, box.end, _FRAGMENT_INDEX)
        elif box.name in _CONTAINERS:
            await self._clean_children(box)
        elif box.name == b"udta":
            await self._clean_user_data(box)
        elif box.name == b"meta":
            await self._clean_meta(box)
        elif box.name == b"hdlr":
            await erase_handler_name(region, box)
        elif box.name == b"dinf":
            await _clean_references(region, box)
        elif box.name in _PADDING:
            await region.erase(box.start, box.size_bytes)
        elif box.name not in _KEPT:
            await blank(region, box)

    async def _clean_track(self, trak: Box) -> None:
        region = self._region
        if not await is_kept(region, trak):
            await blank(region, trak)
            return
        description = await descend(region, trak, b"mdia", b"minf", b"stbl", b"stsd")
        if description is not None:
            await clean_descriptions(region, description, await handler_of(region, trak))
        await self._clean_children(trak)

    async def _clean_user_data(self, box: Box) -> None:
        end = box.start
        async for inner in children(self._region, box.start, box.end):
            if inner.name == b"meta":
                await self._clean_meta(inner)
            else:
                await blank(self._region, inner)
            end = inner.end
        await self._region.erase(end, box.end - end)

    async def _clean_children(self, box: Box) -> None:
        end = box.start
        async for inner in children(self._region, box.start, box.end):
            await self.clean(inner)
            end = inner.end
        await self._region.erase(end, box.end - end)

    async def _clean_meta(self, box: Box) -> None:
        """Keeps the items of a picture, or of a film what binds it to its picture."""
        region = self._region
        if box.size_bytes < 8:
            await blank(region, box)
            return
        # ISO `meta` starts with four bytes of version and flags, QuickTime's with its first box.
        skipped = 0 if await region.read(box.start + 4, 4) == b"hdlr" else 4
        inner = [found async for found in children(region, box.start + skipped, box.end)]
        by_name = {found.name: found for found in inner}
        end = inner[-1].end if inner else box.start
        if b"iloc" in by_name and b"iinf" in by_name:
            for start, length in await clean_items(region, inner):
                self._media.keep(start, length)
        elif not await _keeps_live_id(region, by_name, inner):
            await blank(region, box)
            return
        await region.erase(end, box.end - end)


async def _clean_references(region: Region, dinf: Box) -> None:
    """Media lie in the file itself; where else they could lie is a text."""
    async for table in children(region, dinf.start, dinf.end):
        if table.name != b"dref" or table.size_bytes < 8:
            await blank(region, table)
            continue
        async for entry in children(region, table.start + 8, table.end):
            if entry.name in _REFERENCE:
                await region.erase(entry.start + 4, max(0, entry.size_bytes - 4))


async def _keeps_live_id(region: Region, by_name: Mapping[bytes, Box], inner: list[Box]) -> bool:
    keys, values = by_name.get(b"keys"), by_name.get(b"ilst")
    if keys is None or values is None or keys.size_bytes < 8:
        return False
    found = [key async for key in children(region, keys.start + 8, keys.end)]
    number = 0
    for position, key in enumerate(found, start=1):
        if key.size_bytes == len(_LIVE_KEY) and await region.read(key.start, key.size_bytes) == _LIVE_KEY:
            number = position
    listed = [value async for value in children(region, values.start, values.end)]
    kept = [
        value
        for value in listed
        if int.from_bytes(value.name, "big") == number and await _is_id(region, value)
    ]
    if not number or not kept:
        return False
    for position, key in enumerate(found, start=1):
        if position != number:
            await region.erase(key.start, key.size_bytes)
    for value in listed:
        if value not in kept:
            await blank(region, value)
    for other in inner:
        if other.name == b"hdlr":
            await erase_handler_name(region, other)
        elif other not in (keys, values):
            await blank(region, other)
    return True


async def _is_id(region: Region, value: Box) -> bool:
    if not _VALUE_HEADER_BYTES < value.size_bytes <= _VALUE_HEADER_BYTES + 64:
        return False
    body = await region.read(value.start, value.size_bytes)
    return body[4:8] == b"data" and _LIVE_ID.fullmatch(body[_VALUE_HEADER_BYTES:]) is not None
