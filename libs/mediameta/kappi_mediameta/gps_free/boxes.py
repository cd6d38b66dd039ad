"""An ISO base media file without what no player needs: films, and pictures
kept like films (ISO/IEC 14496-12).

Boxes stay that decoders read; any other becomes a `free` box of the same size, full of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box
from kappi_mediameta.gps_free.box_walk import children
from kappi_mediameta.gps_free.dash_cameras import zero_listed_blocks
from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.gps_free.heif_items import clean_items
from kappi_mediameta.gps_free.telemetry import blank_telemetry

_MEDIA: Final = frozenset(b"ftyp styp mdat mfra sidx ssix prft".split())
_PADDING: Final = frozenset({b"free", b"skip", b"wide"})
_FRAGMENT: Final = frozenset(b"mfhd tfhd tfdt trun sbgp sgpd subs saiz saio senc".split())
_INDEX: Final = frozenset(
    b"mvhd tkhd elst mdhd elng vmhd smhd nmhd sthd mehd trex tref gmin clef prof enof "
    b"stts ctts cslg stss stps stsh stdp stsz stz2 stsc stco co64 sdtp sbgp sgpd subs saiz saio padb".split()
)
_KEPT: Final = _MEDIA | _FRAGMENT | _INDEX
# Sample entries of pictures, with what a decoder reads behind the 78 bytes that all have.
_CODED_PICTURES: Final = frozenset(
    b"avc1 avc3 hvc1 hev1 dvh1 dvhe av01 vp08 vp09 mp4v s263 H263 h263 jpeg mjpa mjpb "
    b"apch apcn apcs apco ap4h ap4x".split()
)
_OF_CODED_PICTURE: Final = frozenset(
    b"avcC hvcC lhvC av1C vpcC esds d263 dvcC dvvC dvwC SmDm CoLL colr pasp clap btrt gama fiel mdcv clli "
    b"cclv amve st3d sv3d".split()
)
_COMPRESSOR_AT, _COMPRESSOR_BYTES, _PICTURE_ENTRY_BYTES = 42, 32, 78
_CONTAINERS: Final = frozenset(b"moov trak edts mdia minf stbl gmhd tapt mvex moof traf mpvd".split())
"""`mpvd` is Samsung's film behind a HEIC."""
_HANDLER_BYTES: Final = 24
"""Of a handler, before its name."""
_REFERENCE: Final = frozenset({b"url ", b"urn ", b"alis", b"rsrc"})
# What binds a film to its picture; its value is the one that is read of a Live Photo.
_LIVE_KEY: Final = b"com.apple.quicktime.content.identifier"
_LIVE_ID: Final = re.compile(rb"[0-9A-Za-z_-]{8,64}")
_VALUE_HEADER_BYTES: Final = 16


async def clean_boxes(region: Region, *, ends_anywhere: bool = False) -> int:
    """Where the last box ends. ends_anywhere: what follows it is something else, and no fault."""
    end = 0
    async for box in children(region, 0, region.size_bytes):
        await _clean(region, box)
        end = box.end
    if not ends_anywhere:
        if not end or (await region.read(end, min(8, region.size_bytes - end)))[4:] in TOP_LEVEL:
            raise Unremovable("a box does not fit")
        await region.erase(end, region.size_bytes - end)
    return end


async def _clean(region: Region, box: Box) -> None:
    if box.name == b"gps ":
        await zero_listed_blocks(region, box)
    if box.name == b"trak" and await blank_telemetry(region, box):
        await blank(region, box)
    elif box.name in _CONTAINERS:
        await _clean_children(region, box)
    elif box.name == b"udta":
        await _clean_user_data(region, box)
    elif box.name == b"meta":
        await _clean_meta(region, box)
    elif box.name == b"hdlr":
        await region.erase(box.start + _HANDLER_BYTES, max(0, box.size_bytes - _HANDLER_BYTES))
    elif box.name == b"stsd":
        await _clean_descriptions(region, box)
    elif box.name == b"dinf":
        await _clean_references(region, box)
    elif box.name in _PADDING:
        await region.erase(box.start, box.size_bytes)
    elif box.name not in _KEPT:
        await blank(region, box)


async def _clean_user_data(region: Region, box: Box) -> None:
    end = box.start
    async for inner in children(region, box.start, box.end):
        await (_clean_meta if inner.name == b"meta" else blank)(region, inner)
        end = inner.end
    await region.erase(end, box.end - end)


async def _clean_children(region: Region, box: Box) -> None:
    end = box.start
    async for inner in children(region, box.start, box.end):
        await _clean(region, inner)
        end = inner.end
    await region.erase(end, box.end - end)


async def _clean_descriptions(region: Region, stsd: Box) -> None:
    """Of pictures; those of sound and text have a form of their own for each coding, and stay."""
    async for entry in children(region, stsd.start + 8, stsd.end):
        if entry.name not in _CODED_PICTURES or entry.size_bytes < _PICTURE_ENTRY_BYTES:
            continue
        await region.erase(entry.start + _COMPRESSOR_AT, _COMPRESSOR_BYTES)
        start = entry.start + _PICTURE_ENTRY_BYTES
        async for inner in children(region, start, entry.end):
            if inner.name not in _OF_CODED_PICTURE:
                await blank(region, inner)


async def _clean_references(region: Region, dinf: Box) -> None:
    """Media lie in the file itself; where else they could lie is a text."""
    async for table in children(region, dinf.start, dinf.end):
        if table.name != b"dref" or table.size_bytes < 8:
            await blank(region, table)
            continue
        async for entry in children(region, table.start + 8, table.end):
            if entry.name in _REFERENCE:
                await region.erase(entry.start + 4, max(0, entry.size_bytes - 4))


async def blank(region: Region, box: Box) -> None:
    """Make it `free`. Its name stands four bytes behind its beginning, before a long size if it has one."""
    await region.write(box.begin + 4, b"free")
    await region.erase(box.start, box.size_bytes)


async def _clean_meta(region: Region, box: Box) -> None:
    """The items of a picture, or of a film what binds it to its picture."""
    if box.size_bytes < 8:
        await blank(region, box)
        return
    # ISO `meta` starts with four bytes of version and flags, QuickTime's with its first box.
    skipped = 0 if await region.read(box.start + 4, 4) == b"hdlr" else 4
    inner = [found async for found in children(region, box.start + skipped, box.end)]
    by_name = {found.name: found for found in inner}
    end = inner[-1].end if inner else box.start
    if b"iloc" in by_name and b"iinf" in by_name:
        await clean_items(region, inner)
        await region.erase(end, box.end - end)
    elif not await _keeps_live_id(region, by_name, inner):
        await blank(region, box)
    else:
        await region.erase(end, box.end - end)


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
            await _clean(region, other)
        elif other not in (keys, values):
            await blank(region, other)
    return True


async def _is_id(region: Region, value: Box) -> bool:
    if not _VALUE_HEADER_BYTES < value.size_bytes <= _VALUE_HEADER_BYTES + 64:
        return False
    body = await region.read(value.start, value.size_bytes)
    return body[4:8] == b"data" and _LIVE_ID.fullmatch(body[_VALUE_HEADER_BYTES:]) is not None
