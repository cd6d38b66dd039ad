"""WebP: size from the first chunk, frames and metadata by hopping over the others (RFC 9649)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_ANIMATION_FLAG: Final = 0x02
_MAX_METADATA_BYTES: Final = 1 << 20
# ImageMagick wrote the second for years, and no flag that says so.
_XMP_NAMES: Final = (b"XMP ", b"XMP\x00")
_FRAME_CHUNKS: Final = {b"VP8 ": "webp", b"VP8L": "webp-lossless", b"ANMF": "webp"}
# Every frame of an animation is a hop to another part of the file: its chunks are followed this far.
_WALKED_BYTES: Final = 2 << 20


@dataclass(slots=True)
class _Found:
    """What the chunks say. whole: all of them were hopped over."""

    codec: str | None = None
    metadata: Metadata = field(default_factory=Metadata)
    frames: int = 0
    milliseconds: int = 0
    whole: bool = False


async def read_webp(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Of animations longer than 2 MiB duration, number of frames and metadata at the end are not known."""
    (riff_size,) = struct.unpack("<I", await reader.read(4, 4))
    end = 8 + riff_size
    if end > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its RIFF size")
    name, _ = await _chunk(reader, 12, end)
    if name == b"VP8X":
        return await _extended(reader, limits, end)
    width, height = await _bitstream_size(reader, name, 20)
    limits.check_size(width, height)
    return PictureHeader(width, height, _FRAME_CHUNKS[name])


async def _extended(reader: BlockReader, limits: ProbeLimits, end: int) -> PictureHeader:
    body = await reader.read(20, 10)
    flags = body[0]
    width = 1 + int.from_bytes(body[4:7], "little")
    height = 1 + int.from_bytes(body[7:10], "little")
    limits.check_size(width, height)
    found = await _hop(reader, limits, end, flags=flags, size=(width, height))
    if found.codec is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no picture chunk")
    limits.check_duration(found.milliseconds)
    animated = bool(flags & _ANIMATION_FLAG)
    return PictureHeader(
        width,
        height,
        found.codec,
        animated=animated,
        duration_ms=found.milliseconds if animated and found.whole else None,
        capture=found.metadata.capture(),
        frame_count=found.frames if animated and found.whole else None,
    )


async def _hop(
    reader: BlockReader, limits: ProbeLimits, end: int, *, flags: int, size: tuple[int, int]
) -> _Found:
    found = _Found()
    position = 12
    for _ in range(limits.max_parts + limits.max_frames):
        if position + 8 > end:
            found.whole = True
            return found
        animated = bool(flags & _ANIMATION_FLAG)
        if found.codec is not None and animated and position >= _WALKED_BYTES:
            return found
        try:
            name, length = await _chunk(reader, position, end)
        except ProbeRejected:
            if found.codec is None or animated:
                raise
            return found  # what follows a still picture is none of it
        if name == b"ANMF":
            await _count(reader, limits, found, position=position)
        if name in _FRAME_CHUNKS and found.codec is None:
            found.codec = _FRAME_CHUNKS[name]
            if name != b"ANMF" and await _bitstream_size(reader, name, position + 8) != size:
                raise ProbeRejected(RejectReason.CORRUPT, "canvas and picture differ")
        elif name == b"EXIF" and length <= _MAX_METADATA_BYTES:
            found.metadata.exif = exif_tags(await reader.read(position + 8, length))
        elif name in _XMP_NAMES and length <= _MAX_METADATA_BYTES and not found.metadata.xmp:
            found.metadata.xmp = [await reader.read(position + 8, length)]
        position += 8 + length + (length & 1)
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many chunks")


async def _count(reader: BlockReader, limits: ProbeLimits, found: _Found, *, position: int) -> None:
    found.frames += 1
    limits.check_frames(found.frames)
    found.milliseconds += int.from_bytes(await reader.read(position + 20, 3), "little")


async def _chunk(reader: BlockReader, position: int, end: int) -> tuple[bytes, int]:
    name, length = struct.unpack("<4sI", await reader.read(position, 8))
    if position + 8 + length > end:
        raise ProbeRejected(RejectReason.CORRUPT, "chunk reaches past the file's own size")
    return name, length


async def _bitstream_size(reader: BlockReader, name: bytes, position: int) -> tuple[int, int]:
    body = await reader.read(position, 10 if name == b"VP8 " else 5)  # the smallest file ends soon after
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        if body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
            raise ProbeRejected(RejectReason.CORRUPT, "not a VP8 key frame")
        return width & 0x3FFF, height & 0x3FFF
    if name != b"VP8L" or body[0] != 0x2F:
        raise ProbeRejected(RejectReason.CORRUPT, "no picture chunk")
    bits = int.from_bytes(body[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
