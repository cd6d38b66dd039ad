"""Selects the tracks of a film that a copy keeps: pictures, sound, subtitles and time codes.

Other tracks are dropped: those of GoPro, Google's CAMM, Sony, DJI and Apple have the place of each second.
Two of Apple's tracks stay: the turn of the film, and the frame that is the picture of a Live Photo.
"""

from __future__ import annotations

import re
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import children, descend
from kappi_mediameta.gps_free.edits import Region

_APPLE_METADATA: Final = b"mebx"
_KEPT_KEYS: Final = re.compile(rb"com\.apple\.quicktime\.(?:still-image-time|video-orientation)")
_OTHER_KEY: Final = re.compile(rb"[A-Za-z]\.[A-Za-z]")
_KEPT_HANDLERS: Final = frozenset(
    {b"vide", b"soun", b"auxv", b"pict", b"sbtl", b"subt", b"text", b"clcp", b"tmcd"}
)


async def is_kept(region: Region, trak: Box) -> bool:
    """Returns whether a copy keeps the track and its samples."""
    if await handler_of(region, trak) in _KEPT_HANDLERS:
        return True
    description = await descend(region, trak, b"mdia", b"minf", b"stbl", b"stsd")
    return description is not None and await _has_kept_keys_only(region, description)


async def handler_of(region: Region, trak: Box) -> bytes:
    """Returns the handler of the track, or nothing where it has none."""
    handler = await descend(region, trak, b"mdia", b"hdlr")
    return await region.read(handler.start + 8, 4) if handler and handler.size_bytes >= 12 else b""


async def _has_kept_keys_only(region: Region, description: Box) -> bool:
    entries = [entry async for entry in children(region, description.start + 8, description.end)]
    for entry in entries:
        if entry.name != _APPLE_METADATA:
            return False
        others, kept = _KEPT_KEYS.subn(b"", await region.read(entry.start, entry.size_bytes))
        if not kept or _OTHER_KEY.search(others):
            return False
    return bool(entries)
