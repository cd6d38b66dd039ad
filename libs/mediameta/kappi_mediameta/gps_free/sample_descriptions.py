"""Sample descriptions of tracks: boxes that decoders read stay (ISO/IEC 14496-12 8.5.2, QuickTime)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import children, clean_children
from kappi_mediameta.gps_free.edits import Region

# Boxes behind the 78 bytes that all descriptions of pictures have.
_OF_PICTURE: Final = frozenset(
    b"avcC hvcC lhvC vvcC av1C vpcC esds d263 dvcC dvvC dvwC SmDm CoLL colr pasp clap btrt gama fiel mdcv "
    b"clli cclv amve st3d sv3d auxi ccst jp2h glbl SMI  ACLR APRG ARES ADHR".split(b" ")
)
_OF_SOUND: Final = frozenset(
    b"esds dac3 dec3 dac4 ddts dOps dfLa dmlp alac damr chan chnl srat pcmC mhaC btrt wave frma enda mp4a "
    b"samr sawb lpcm QDCA QDCP QDMC".split()
)
_COMPRESSOR_AT, _COMPRESSOR_BYTES, _PICTURE_BYTES, _DEPTH_AT = 42, 32, 78, 74
_SOUND_BYTES: Final = {0: 28, 1: 44, 2: 64}
_TIME_CODE_BYTES: Final = 26
_PALETTE_DEPTHS: Final = frozenset({1, 2, 4, 8, 33, 34, 36, 40})


async def clean_descriptions(region: Region, stsd: Box, handler: bytes) -> None:
    """Blanks unknown boxes in the descriptions of pictures, sound and time codes. Those of text stay."""
    async for entry in children(region, stsd.start + 8, stsd.end):
        if handler in (b"vide", b"auxv", b"pict") and entry.size_bytes >= _PICTURE_BYTES:
            await _clean_picture(region, entry)
        elif handler == b"soun" and entry.size_bytes >= _SOUND_BYTES[0]:
            start = entry.start + await _sound_bytes(region, stsd, entry)
            await _clean_sound(region, entry.name, start, entry.end)
        elif handler == b"tmcd" and entry.size_bytes >= _TIME_CODE_BYTES:  # a name follows
            await clean_children(region, entry.start + _TIME_CODE_BYTES, entry.end, frozenset())


async def frame_bytes(region: Region, stsd: Box | None) -> int:
    """Returns the greatest size of a frame of sound. QuickTime writes 1 as the size of all samples."""
    longest = 0
    if stsd is None:
        return longest
    async for entry in children(region, stsd.start + 8, stsd.end):
        if entry.size_bytes < _SOUND_BYTES[0]:
            continue
        version, _, _, channels, bits = struct.unpack(">HHIHH", await region.read(entry.start + 8, 12))
        longest = max(longest, channels * bits // 8)
        if version == 1 and entry.size_bytes >= _SOUND_BYTES[1]:
            per_packet, _, packet = struct.unpack(">III", await region.read(entry.start + 28, 12))
            longest = max(longest, -(-packet // max(1, per_packet)))
        elif version == 2 and entry.size_bytes >= _SOUND_BYTES[2]:
            packet, per_packet = struct.unpack(">II", await region.read(entry.start + 56, 8))
            longest = max(longest, -(-packet // max(1, per_packet)))
    return longest


async def _clean_picture(region: Region, entry: Box) -> None:
    await region.erase(entry.start + _COMPRESSOR_AT, _COMPRESSOR_BYTES)
    depth = int.from_bytes(await region.read(entry.start + _DEPTH_AT, 2), "big")
    start = entry.start + _PICTURE_BYTES
    if depth in _PALETTE_DEPTHS and not await _is_box(region, start, entry.end):
        return  # a palette
    await clean_children(region, start, entry.end, _OF_PICTURE)


async def _is_box(region: Region, start: int, end: int) -> bool:
    return (await anext(children(region, start, end), None)) is not None


async def _sound_bytes(region: Region, stsd: Box, entry: Box) -> int:
    """Returns the length of the fields before the boxes. ISO's version 1 adds none, QuickTime's does."""
    quicktime = await region.read(stsd.start, 1) == b"\0"
    version = int.from_bytes(await region.read(entry.start + 8, 2), "big")
    return min(entry.size_bytes, _SOUND_BYTES.get(version if quicktime else 0, _SOUND_BYTES[0]))


async def _clean_sound(region: Region, coding: bytes, start: int, end: int) -> None:
    await clean_children(region, start, end, _OF_SOUND | {coding})
    async for box in children(region, start, end):
        if box.name == b"wave":
            await clean_children(region, box.start, box.end, _OF_SOUND | {coding})
