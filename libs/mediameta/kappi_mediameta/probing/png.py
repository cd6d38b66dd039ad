"""Header of a PNG: size and animation by the chunks before the pixels, metadata also by those behind them
(W3C PNG, third edition).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from kappi_mediameta.containers.chunks import PNG_END, PNG_START, Chunk, png_chunks
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.png_text import MAX_KEYWORD_BYTES, TEXT_CHUNKS, PngMetadata, is_wanted
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_BIT_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_HEADER_CHUNK_BYTES: Final = 25
_END_CHUNK: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_TAIL_BYTES: Final = 64 << 10
_METADATA_CHUNKS: Final = (b"eXIf", *sorted(TEXT_CHUNKS))
_MAX_CANDIDATES: Final = 64
_MAX_METADATA_BYTES: Final = 1 << 20


async def read_png(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    width, height = _dimensions(await reader.read(PNG_START, _HEADER_CHUNK_BYTES))
    limits.check_size(width, height)
    metadata = PngMetadata()
    frame_count: int | None = None
    async for chunk in png_chunks(reader, PNG_START + _HEADER_CHUNK_BYTES, most=limits.max_parts):
        if chunk.name == b"IDAT":
            for name, body in await _metadata_behind(reader, limits, pixels_at=chunk.begin):
                metadata.note_behind(name, body)
            animated = frame_count is not None and frame_count > 1
            return PictureHeader(
                width,
                height,
                "png",
                animated=animated,
                capture=metadata.found.capture(),
                frame_count=frame_count if animated else None,
            )
        if chunk.name == PNG_END or not _is_possible(chunk):
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        if chunk.name == b"acTL" and chunk.length == 8:
            frame_count = int.from_bytes(await reader.read(chunk.start, 4), "big")
            limits.check_frames(frame_count)
        elif await _is_metadata(reader, chunk):
            metadata.note(chunk.name, await reader.read(chunk.start, chunk.length))
    raise ProbeRejected(RejectReason.TRUNCATED, "no pixels")


def _is_possible(chunk: Chunk) -> bool:
    return chunk.length <= 0x7FFFFFFF and chunk.name.isalpha()


async def _is_metadata(reader: BlockReader, chunk: Chunk) -> bool:
    """Returns whether a chunk is EXIF or a text with metadata. Other texts may hold anything."""
    if chunk.length > _MAX_METADATA_BYTES:
        return False
    if chunk.name not in TEXT_CHUNKS:
        return chunk.name == b"eXIf"
    return is_wanted(await reader.read(chunk.start, min(chunk.length, MAX_KEYWORD_BYTES + 1)))


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
    """Returns chunks behind the pixels, where ImageMagick and ExifTool write: those in the last 64 KiB, or
    those on the way to the end. Raises `truncated` where the chunks reach past the end of the file.
    """
    tail = await reader.tail(min(_TAIL_BYTES, reader.size_bytes - pixels_at))
    end = tail.find(_END_CHUNK)
    if end >= 0:
        return _proved_chunks(tail[:end])
    if _is_cut_off(tail):
        raise ProbeRejected(RejectReason.TRUNCATED, "no IEND")
    found: list[tuple[bytes, bytes]] = []
    try:
        await _walk_to_end(reader, limits, pixels_at, found)
    except ProbeRejected as rejected:
        if rejected.reason is not RejectReason.TOO_COMPLEX:  # which shows no cut-off file
            raise
    return found


def _proved_chunks(tail: bytes) -> list[tuple[bytes, bytes]]:
    """Returns chunks whose checksums match. Other four letters among the pixels may look like a chunk."""
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
    """Returns whether the last chunk of pixels reaches to the end of the file, or past it."""
    at = tail.rfind(b"IDAT", 4)
    return at >= 0 and at + 8 + int.from_bytes(tail[at - 4 : at], "big") >= len(tail)


async def _walk_to_end(
    reader: BlockReader, limits: ProbeLimits, pixels_at: int, found: list[tuple[bytes, bytes]]
) -> None:
    """Adds the metadata between the pixels and the last chunk. Far behind that something is appended."""
    async for chunk in png_chunks(reader, pixels_at, most=limits.max_parts):
        if chunk.name == PNG_END:
            return
        if not _is_possible(chunk):
            raise ProbeRejected(RejectReason.CORRUPT, "impossible chunk")
        if await _is_metadata(reader, chunk):
            found.append((chunk.name, await reader.read(chunk.start, chunk.length)))
    raise ProbeRejected(RejectReason.TRUNCATED, "no IEND")
