"""PNG: size, animation and eXIf from the chunks before the pixels (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_media.probing.exif import parse_exif
from kappi_media.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_END_CHUNK: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_TAIL_LENGTHS: Final = (1 << 10, 64 << 10)
_MAX_EXIF_BYTES: Final = 1 << 20


async def read_png(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    width, height = _dimensions(await reader.read(8, 25))
    limits.check_size(width, height)
    capture = CaptureFacts()
    frame_count: int | None = None
    position = 33
    for _ in range(limits.max_parts):
        length, name = struct.unpack(">I4s", await reader.read(position, 8))
        if name == b"IDAT":
            await _check_end(reader)
            animated = frame_count is not None and frame_count > 1
            return PictureHeader(
                width,
                height,
                "png",
                animated=animated,
                capture=capture,
                frame_count=frame_count if animated else None,
            )
        if length > 0x7FFFFFFF or not name.isalpha() or name == b"IEND":
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        if name == b"acTL" and length == 8:
            frame_count = int.from_bytes(await reader.read(position + 8, 4), "big")
            limits.check_frames(frame_count)
        elif name == b"eXIf" and length <= _MAX_EXIF_BYTES:
            capture = parse_exif(await reader.read(position + 8, length))
        position += 12 + length
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many chunks")


def _dimensions(chunk: bytes) -> tuple[int, int]:
    body, checksum = chunk[8:21], chunk[21:25]
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if zlib.crc32(chunk[4:21]) != int.from_bytes(checksum, "big"):
        raise ProbeRejected(RejectReason.CORRUPT, "header checksum")
    if depth not in _BIT_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ProbeRejected(RejectReason.CORRUPT, "impossible header")
    return width, height


async def _check_end(reader: BlockReader) -> None:
    for length in _TAIL_LENGTHS:  # some writers append a little of their own after the end
        if _END_CHUNK in await reader.tail(length):
            return
    raise ProbeRejected(RejectReason.TRUNCATED, "no IEND")
