"""Header of a WebP: size by the first chunk, frames and metadata by a walk over the others (RFC 9649)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from kappi_mediameta.containers.chunks import RIFF_START, Chunk, riff_chunks, riff_end
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_ANIMATION_FLAG: Final = 0x02
_MAX_METADATA_BYTES: Final = 1 << 20
# ImageMagick wrote the second name for years, without its flag.
_XMP_NAMES: Final = (b"XMP ", b"XMP\x00")
_FRAME_CHUNKS: Final = {b"VP8 ": "webp", b"VP8L": "webp-lossless", b"ANMF": "webp"}
# Each frame of an animation is in another part of the file, so its chunks are followed up to this position.
_WALKED_BYTES: Final = 2 << 20


@dataclass(slots=True)
class _Found:
    """Facts of the chunks. whole: the walk came to the end."""

    codec: str | None = None
    metadata: Metadata = field(default_factory=Metadata)
    frames: int = 0
    milliseconds: int = 0
    whole: bool = False


async def read_webp(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    """Returns the header. Of animations longer than 2 MiB duration, number of frames and metadata at the end
    are unknown."""
    end = await riff_end(reader)
    if end > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its RIFF size")
    async for first in riff_chunks(reader, RIFF_START, end, most=1):
        _check_fits(first, end)
        if first.name == b"VP8X":
            return await _extended(reader, limits, end)
        width, height = await _bitstream_size(reader, first)
        limits.check_size(width, height)
        return PictureHeader(width, height, _FRAME_CHUNKS[first.name])
    raise ProbeRejected(RejectReason.CORRUPT, "no chunk")


async def _extended(reader: BlockReader, limits: ProbeLimits, end: int) -> PictureHeader:
    body = await reader.read(20, 10)
    flags = body[0]
    width = 1 + int.from_bytes(body[4:7], "little")
    height = 1 + int.from_bytes(body[7:10], "little")
    limits.check_size(width, height)
    found = await _walk(reader, limits, end, flags=flags, size=(width, height))
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


async def _walk(
    reader: BlockReader, limits: ProbeLimits, end: int, *, flags: int, size: tuple[int, int]
) -> _Found:
    found = _Found()
    animated = bool(flags & _ANIMATION_FLAG)
    most = limits.max_parts + limits.max_frames
    async for chunk in riff_chunks(reader, RIFF_START, end, most=most):
        if found.codec is not None and animated and chunk.begin >= _WALKED_BYTES:
            return found
        if chunk.end > end and found.codec is not None and not animated:
            return found  # what follows a still picture is not part of it
        _check_fits(chunk, end)
        if chunk.name == b"ANMF":
            await _count(reader, limits, found, chunk)
        if chunk.name in _FRAME_CHUNKS and found.codec is None:
            found.codec = _FRAME_CHUNKS[chunk.name]
            if chunk.name != b"ANMF" and await _bitstream_size(reader, chunk) != size:
                raise ProbeRejected(RejectReason.CORRUPT, "canvas and picture differ")
        elif chunk.length <= _MAX_METADATA_BYTES:
            await _note_metadata(reader, found.metadata, chunk)
    found.whole = True
    return found


def _check_fits(chunk: Chunk, end: int) -> None:
    if chunk.end > end:
        raise ProbeRejected(RejectReason.CORRUPT, "chunk reaches past the file's own size")


async def _count(reader: BlockReader, limits: ProbeLimits, found: _Found, frame: Chunk) -> None:
    found.frames += 1
    limits.check_frames(found.frames)
    found.milliseconds += int.from_bytes(await reader.read(frame.start + 12, 3), "little")


async def _note_metadata(reader: BlockReader, metadata: Metadata, chunk: Chunk) -> None:
    if chunk.name == b"EXIF":
        metadata.exif = exif_tags(await reader.read(chunk.start, chunk.length))
    elif chunk.name in _XMP_NAMES and not metadata.xmp:
        metadata.xmp = [await reader.read(chunk.start, chunk.length)]


async def _bitstream_size(reader: BlockReader, chunk: Chunk) -> tuple[int, int]:
    name = chunk.name
    # The smallest file ends soon after these bytes.
    body = await reader.read(chunk.start, 10 if name == b"VP8 " else 5)
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        if body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
            raise ProbeRejected(RejectReason.CORRUPT, "not a VP8 key frame")
        return width & 0x3FFF, height & 0x3FFF
    if name != b"VP8L" or body[0] != 0x2F:
        raise ProbeRejected(RejectReason.CORRUPT, "no picture chunk")
    bits = int.from_bytes(body[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
