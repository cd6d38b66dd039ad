"""PNG: size and animation from the chunks before the pixels, metadata from those behind them, too (W3C PNG,
third edition).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.png_text import MAX_KEYWORD_BYTES, TEXT_CHUNKS, PngMetadata, is_wanted
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_END_CHUNK: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_TAIL_BYTES: Final = 64 << 10
_METADATA_CHUNKS: Final = (b"eXIf", *sorted(TEXT_CHUNKS))
_MAX_CANDIDATES: Final = 64
_MAX_METADATA_BYTES: Final = 1 << 20


async def read_png(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    width, height = _dimensions(await reader.read(8, 25))
    limits.check_size(width, height)
    metadata = PngMetadata()
    frame_count: int | None = None
    position = 33
    for _ in range(limits.max_parts):
        length, name = struct.unpack(">I4s", await reader.read(position, 8))
        if name == b"IDAT":
            for chunk, body in await _metadata_behind(reader, limits, pixels_at=position):
                if chunk == b"eXIf":
                    # Browsers and libvips, who show a PNG as it comes, turn it by what comes before.
                    metadata.found.secondary_exif = exif_tags(body)
                else:
                    metadata.note_text(chunk, body)
            animated = frame_count is not None and frame_count > 1
            return PictureHeader(
                width,
                height,
                "png",
                animated=animated,
                capture=metadata.found.capture(),
                frame_count=frame_count if animated else None,
            )
        if length > 0x7FFFFFFF or not name.isalpha() or name == b"IEND":
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        if name == b"acTL" and length == 8:
            frame_count = int.from_bytes(await reader.read(position + 8, 4), "big")
            limits.check_frames(frame_count)
        elif name == b"eXIf" and length <= _MAX_METADATA_BYTES:
            metadata.found.exif = exif_tags(await reader.read(position + 8, length))
        elif await _is_text(reader, name, length, position=position):
            metadata.note_text(name, await reader.read(position + 8, length))
        position += 12 + length
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many chunks")


async def _is_text(reader: BlockReader, name: bytes, length: int, *, position: int) -> bool:
    """Whether a chunk is a text with metadata. Others are passed over, whatever they hold."""
    if name not in TEXT_CHUNKS or length > _MAX_METADATA_BYTES:
        return False
    return is_wanted(await reader.read(position + 8, min(length, MAX_KEYWORD_BYTES + 1)))


def _dimensions(chunk: bytes) -> tuple[int, int]:
    body, checksum = chunk[8:21], chunk[21:25]
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if zlib.crc32(chunk[4:21]) != int.from_bytes(checksum, "big"):
        raise ProbeRejected(RejectReason.CORRUPT, "header checksum")
    if depth not in _BIT_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise ProbeRejected(RejectReason.CORRUPT, "impossible header")
    return width, height


async def _metadata_behind(
    reader: BlockReader, limits: ProbeLimits, *, pixels_at: int
) -> list[tuple[bytes, bytes]]:
    """Chunks behind the pixels, where ImageMagick and ExifTool write: those in the last 64 KiB, or those that
    are come by on the way to the end. Raises `truncated` where the chunks reach past the file's end.
    """
    tail = await reader.tail(min(_TAIL_BYTES, reader.size_bytes - pixels_at))
    end = tail.find(_END_CHUNK)
    if end >= 0:
        return _proved_chunks(tail[:end])
    if _is_cut_off(tail):
        raise ProbeRejected(RejectReason.TRUNCATED, "no IEND")
    try:
        return await _walked(reader, limits, pixels_at)
    except ProbeRejected as rejected:
        if rejected.reason is RejectReason.TOO_COMPLEX:  # nothing shows that it is cut off
            return []
        raise


def _proved_chunks(tail: bytes) -> list[tuple[bytes, bytes]]:
    """Proved by their checksums: nothing else tells a chunk from four letters among the pixels."""
    found: list[tuple[bytes, bytes]] = []
    for name in _METADATA_CHUNKS:
        at = 0
        for _ in range(_MAX_CANDIDATES):
            at = tail.find(name, max(at, 4))
            if at < 0:
                break
            end = at + 4 + int.from_bytes(tail[at - 4 : at], "big")
            checksum = int.from_bytes(tail[end : end + 4], "big")
            if end + 4 <= len(tail) and zlib.crc32(tail[at:end]) == checksum:
                found.append((name, tail[at + 4 : end]))
            at += 4
    return found


def _is_cut_off(tail: bytes) -> bool:
    """Whether the last chunk of pixels reaches to the file's end, or past it."""
    at = tail.rfind(b"IDAT", 4)
    return at >= 0 and at + 8 + int.from_bytes(tail[at - 4 : at], "big") >= len(tail)


async def _walked(reader: BlockReader, limits: ProbeLimits, position: int) -> list[tuple[bytes, bytes]]:
    """From the pixels to the end, by hops; far behind it something is appended."""
    found: list[tuple[bytes, bytes]] = []
    for _ in range(limits.max_parts):
        length, name = struct.unpack(">I4s", await reader.read(position, 8))
        if name == b"IEND":
            return found
        if length > 0x7FFFFFFF or not name.isalpha():
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        is_exif = name == b"eXIf" and length <= _MAX_METADATA_BYTES
        if is_exif or await _is_text(reader, name, length, position=position):
            found.append((name, await reader.read(position + 8, length)))
        position += 12 + length
    return found
