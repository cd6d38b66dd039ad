"""Tracks of a film that are neither picture, sound nor subtitles: their samples become zeros.

Such are the places, second by second, of GoPro, Google's CAMM, Sony, DJI and Apple. Of Apple's, those stay
whose keys say how a film is turned, and which of its frames the picture of a Live Photo is.
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import children
from kappi_mediameta.gps_free.edits import Region, Unremovable

_APPLE_METADATA: Final = b"mebx"
_KEPT_KEYS: Final = re.compile(rb"com\.apple\.quicktime\.(?:still-image-time|video-orientation)")
_OTHER_KEY: Final = re.compile(rb"[A-Za-z]\.[A-Za-z]")
_KEPT_HANDLERS: Final = frozenset(
    {b"vide", b"soun", b"auxv", b"pict", b"sbtl", b"subt", b"text", b"clcp", b"tmcd"}
)
_MAX_SAMPLES: Final = 2_000_000


async def blank_telemetry(region: Region, trak: Box) -> bool:
    """Whether it is such a track; then its samples are gone, and the track itself is the caller's."""
    table = await _down(region, trak, b"mdia", b"minf", b"stbl")
    if table is None:
        return False
    boxes = {box.name: box async for box in children(region, table.start, table.end)}
    description = boxes.get(b"stsd")
    if await _handler(region, trak) in _KEPT_HANDLERS:
        return False
    if description is None or await _is_kept(region, description):
        return False
    await _blank_samples(region, boxes)
    return True


async def _down(region: Region, box: Box, *names: bytes) -> Box | None:
    found: Box | None = box
    for name in names:
        if found is None:
            return None
        inner = children(region, found.start, found.end)
        found = next((child for child in [child async for child in inner] if child.name == name), None)
    return found


async def _handler(region: Region, trak: Box) -> bytes:
    """What the track is for; nothing where it does not say."""
    handler = await _down(region, trak, b"mdia", b"hdlr")
    return (
        await region.read(handler.start + 8, 4) if handler is not None and handler.size_bytes >= 12 else b""
    )


async def _is_kept(region: Region, description: Box) -> bool:
    async for entry in children(region, description.start + 8, description.end):
        if entry.name != _APPLE_METADATA:
            return False
        others, kept = _KEPT_KEYS.subn(b"", await region.read(entry.start, entry.size_bytes))
        if not kept or _OTHER_KEY.search(others):
            return False
    return True


async def _blank_samples(region: Region, boxes: dict[bytes, Box]) -> None:
    if b"stsz" not in boxes:  # `stz2`, which no camera writes
        raise Unremovable("samples of unknown size")
    sizes = await _sizes(region, boxes[b"stsz"])
    if not sizes:
        return
    chunks = await _chunks(region, boxes)
    runs = await _runs(region, boxes.get(b"stsc"))
    if not chunks or not runs or runs[0][0] != 1:
        raise Unremovable("samples without a place in the file")
    position = 0
    for (first, per_chunk), (following, _) in pairwise([*runs, (len(chunks) + 1, 0)]):
        for chunk in chunks[first - 1 : following - 1]:
            samples = sizes[position : position + per_chunk]
            region.zero(chunk, sum(samples))
            position += per_chunk


async def _sizes(region: Region, box: Box) -> list[int]:
    if box.size_bytes < 12:
        raise Unremovable("samples of unknown size")
    uniform, count = struct.unpack(">II", await region.read(box.start + 4, 8))
    if count > _MAX_SAMPLES:
        raise Unremovable("too many samples")
    if uniform:
        return [uniform] * count
    raw = await region.read(box.start + 12, 4 * count)
    return list(struct.unpack(f">{count}I", raw))


async def _chunks(region: Region, boxes: dict[bytes, Box]) -> list[int]:
    box, letter = (boxes[b"co64"], "Q") if b"co64" in boxes else (boxes.get(b"stco"), "I")
    if box is None or box.size_bytes < 8:
        return []
    count = int.from_bytes(await region.read(box.start + 4, 4), "big")
    if count > _MAX_SAMPLES:
        raise Unremovable("too many samples")
    raw = await region.read(box.start + 8, struct.calcsize(letter) * count if letter == "Q" else 4 * count)
    return list(struct.unpack(f">{count}{letter}", raw))


async def _runs(region: Region, box: Box | None) -> list[tuple[int, int]]:
    """From which chunk on, counted from 1, there are how many samples in each."""
    if box is None or box.size_bytes < 8:
        return []
    count = int.from_bytes(await region.read(box.start + 4, 4), "big")
    if count > _MAX_SAMPLES:
        raise Unremovable("too many samples")
    raw = await region.read(box.start + 8, 12 * count)
    runs = [(first, per_chunk) for first, per_chunk, _ in struct.iter_unpack(">III", raw)]
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(runs)) or (runs and runs[0][0] < 1):
        raise Unremovable("chunks out of order")
    return runs
