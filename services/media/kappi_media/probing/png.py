"""PNG: size, animation and eXIf from the chunks before the pixels, eXIf from those behind them, too (W3C PNG,
third edition).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Final

from kappi_media.probing.exif import parse_exif
from kappi_media.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_END_CHUNK: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_TAIL_BYTES: Final = 64 << 10
_MAX_CANDIDATES: Final = 8
_MAX_EXIF_BYTES: Final = 1 << 20


async def read_png(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    width, height = _dimensions(await reader.read(8, 25))
    limits.check_size(width, height)
    capture: CaptureFacts | None = None
    frame_count: int | None = None
    position = 33
    for _ in range(limits.max_parts):
        length, name = struct.unpack(">I4s", await reader.read(position, 8))
        if name == b"IDAT":
            behind = await _exif_behind(reader, limits, pixels_at=position)
            if capture is None and behind is not None:
                # Browsers and libvips, who show a PNG as it comes, turn it by what came before the pixels.
                capture = replace(parse_exif(behind), orientation=1)
            animated = frame_count is not None and frame_count > 1
            return PictureHeader(
                width,
                height,
                "png",
                animated=animated,
                capture=capture or CaptureFacts(),
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


async def _exif_behind(reader: BlockReader, limits: ProbeLimits, *, pixels_at: int) -> bytes | None:
    """The EXIF block behind the pixels, where ImageMagick writes it: one in the last 64 KiB, or one that is
    come by on the way to the end. Raises `truncated` where the chunks reach past the file's end.
    """
    tail = await reader.tail(min(_TAIL_BYTES, reader.size_bytes - pixels_at))
    end = tail.find(_END_CHUNK)
    if end >= 0:
        return _last_exif(tail[:end])
    if _is_cut_off(tail):
        raise ProbeRejected(RejectReason.TRUNCATED, "no IEND")
    try:
        return await _walked(reader, limits, pixels_at)
    except ProbeRejected as rejected:
        if rejected.reason is RejectReason.TOO_COMPLEX:  # nothing shows that it is cut off
            return None
        raise


def _last_exif(tail: bytes) -> bytes | None:
    """Proved by its checksum: nothing else tells a chunk from four letters among the pixels."""
    at = len(tail)
    for _ in range(_MAX_CANDIDATES):
        at = tail.rfind(b"eXIf", 4, at)
        if at < 0:
            return None
        end = at + 4 + int.from_bytes(tail[at - 4 : at], "big")
        if zlib.crc32(tail[at:end]) == int.from_bytes(tail[end : end + 4], "big") and end + 4 <= len(tail):
            return tail[at + 4 : end]
    return None


def _is_cut_off(tail: bytes) -> bool:
    """Whether the last chunk of pixels reaches to the file's end, or past it."""
    at = tail.rfind(b"IDAT", 4)
    return at >= 0 and at + 8 + int.from_bytes(tail[at - 4 : at], "big") >= len(tail)


async def _walked(reader: BlockReader, limits: ProbeLimits, position: int) -> bytes | None:
    """From the pixels to the end, by hops; far behind it something is appended."""
    exif: bytes | None = None
    for _ in range(limits.max_parts):
        length, name = struct.unpack(">I4s", await reader.read(position, 8))
        if name == b"IEND":
            return exif
        if length > 0x7FFFFFFF or not name.isalpha():
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        if name == b"eXIf" and length <= _MAX_EXIF_BYTES:
            exif = await reader.read(position + 8, length)
        position += 12 + length
    return exif
