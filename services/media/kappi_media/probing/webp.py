"""WebP: size from the first chunk, EXIF by hopping over the others (RFC 9649)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_media.probing.exif import parse_exif
from kappi_media.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_EXIF_FLAG, _ANIMATION_FLAG = 0x08, 0x02
_MAX_EXIF_BYTES: Final = 1 << 20
_FRAME_CHUNKS: Final = {b"VP8 ": "webp", b"VP8L": "webp-lossless", b"ANMF": "webp"}


async def read_webp(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
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
    capture = CaptureFacts()
    codec: str | None = None
    position = 12
    for _ in range(limits.max_parts):
        if position + 8 > end:
            break
        name, length = await _chunk(reader, position, end)
        if name in _FRAME_CHUNKS and codec is None:
            codec = _FRAME_CHUNKS[name]
            if name != b"ANMF" and await _bitstream_size(reader, name, position + 8) != (width, height):
                raise ProbeRejected(RejectReason.CORRUPT, "canvas and picture differ")
        elif name == b"EXIF" and length <= _MAX_EXIF_BYTES:
            capture = parse_exif(await reader.read(position + 8, length))
        if codec is not None and not flags & _EXIF_FLAG:
            break
        position += 8 + length + (length & 1)
    if codec is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no picture chunk")
    return PictureHeader(width, height, codec, animated=bool(flags & _ANIMATION_FLAG), capture=capture)


async def _chunk(reader: BlockReader, position: int, end: int) -> tuple[bytes, int]:
    name, length = struct.unpack("<4sI", await reader.read(position, 8))
    if position + 8 + length > end:
        raise ProbeRejected(RejectReason.CORRUPT, "chunk reaches past the file's own size")
    return name, length


async def _bitstream_size(reader: BlockReader, name: bytes, position: int) -> tuple[int, int]:
    body = await reader.read(position, 10)
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        if body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
            raise ProbeRejected(RejectReason.CORRUPT, "not a VP8 key frame")
        return width & 0x3FFF, height & 0x3FFF
    if name != b"VP8L" or body[0] != 0x2F:
        raise ProbeRejected(RejectReason.CORRUPT, "no picture chunk")
    bits = int.from_bytes(body[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
