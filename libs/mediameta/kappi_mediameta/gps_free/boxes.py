"""Location removal for ISO base media files: films, HEIC and AVIF (ISO/IEC 14496-12).

Boxes that decoders read stay. Every other box becomes a `free` box of the same size, full of zeros.
"""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box
from kappi_mediameta.gps_free.box_walk import (
    blank,
    children,
    clean_children,
    clean_each,
    descend,
    erase_handler_name,
)
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.film_tags import keep_listed_tags, keep_user_tags
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


async def clean_boxes(region: Region, *, ends_anywhere: bool = False) -> int:
    """Returns the end of the last box. ends_anywhere: other bytes may follow it."""
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
    """Cleans the boxes of one file. media: collects the places of items."""

    def __init__(self, region: Region, media: MediaData) -> None:
        self._region = region
        self._media = media

    async def clean(self, box: Box) -> None:
        region = self._region
        if box.name == b"trak":
            await self._clean_track(box)
        elif box.name == b"mpvd":  # Samsung's film behind a HEIC is a file of its own
            await clean_boxes(region.part(box.start, box.size_bytes))
        elif box.name == b"mfra":
            await clean_children(region, box.start, box.end, _FRAGMENT_INDEX)
        elif box.name in _CONTAINERS:
            await clean_each(region, box.start, box.end, self.clean)
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
        await clean_each(region, trak.start, trak.end, self.clean)

    async def _clean_user_data(self, udta: Box) -> None:
        inner = [box async for box in children(self._region, udta.start, udta.end)]
        kept = await keep_user_tags(self._region, inner)

        async def clean(box: Box) -> None:
            if box.name == b"meta":
                await self._clean_meta(box)
            elif box not in kept:
                await blank(self._region, box)

        await clean_each(self._region, udta.start, udta.end, clean)

    async def _clean_meta(self, box: Box) -> None:
        """Keeps the items of a picture, or the tags of a film that may stay."""
        region = self._region
        if box.size_bytes < 8:
            await blank(region, box)
            return
        # `meta` of ISO starts with four bytes of version and flags, that of QuickTime with its first box.
        skipped = 0 if await region.read(box.start + 4, 4) == b"hdlr" else 4
        inner = [found async for found in children(region, box.start + skipped, box.end)]
        names = {found.name for found in inner}
        end = inner[-1].end if inner else box.start
        if names >= {b"iloc", b"iinf"}:
            for start, length in await clean_items(region, inner):
                self._media.keep(start, length)
        elif not await keep_listed_tags(region, inner):
            await blank(region, box)
            return
        await region.erase(end, box.end - end)


async def _clean_references(region: Region, dinf: Box) -> None:
    """Erases the texts of references. Media lie in the file itself."""
    async for table in children(region, dinf.start, dinf.end):
        if table.name != b"dref" or table.size_bytes < 8:
            await blank(region, table)
            continue
        async for entry in children(region, table.start + 8, table.end):
            if entry.name in _REFERENCE:
                await region.erase(entry.start + 4, max(0, entry.size_bytes - 4))
