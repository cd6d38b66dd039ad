"""Header of a JPEG: segments before the first scan (ITU-T T.81, EXIF 3.0, XMP part 3)."""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.jpeg_segments import END_OF_IMAGE, START_OF_SCAN, next_marker, segment_at
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.jpeg_metadata import MARK_BYTES, JpegMetadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_FIRST_FRAME: Final = 0xC0
_FRAMES: Final = frozenset(range(_FIRST_FRAME, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODABLE_FRAMES: Final = {0xC0: "jpeg", 0xC1: "jpeg", 0xC2: "jpeg-progressive", 0xC9: "jpeg-arithmetic"}
_APP1, _APP13 = 0xE1, 0xED
_TAIL_BYTES: Final = 4 << 10
_LONG_TAIL_BYTES: Final = 64 << 10
_END_MARKER: Final = b"\xff\xd9"
_WALKED_BYTES: Final = 8 << 20
_STEP_BYTES: Final = 512 << 10
# In a scan, one byte of 256 is 0xFF, and a zero follows so that it is not a marker. Zeros and text have none.
_LIKELY_STUFFED: Final = 16
# Markers inside or between scans: stuffing, restarts, fill, tables, the next scan.
_SCAN_MARKERS: Final = frozenset({0x00, *range(0xD0, 0xD8), 0xFF, 0xC4, 0xDA, 0xDB, 0xDD, 0xDC})


async def read_jpeg(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    position = 2
    metadata = JpegMetadata()
    frame: tuple[int, int, str] | None = None
    for _ in range(limits.max_parts):
        position = await next_marker(reader, position)
        marker, length = await segment_at(reader, position)
        if length and marker < _FIRST_FRAME:
            raise reader.damaged("impossible segment")
        if marker == START_OF_SCAN:
            if frame is None:
                raise ProbeRejected(RejectReason.CORRUPT, "scan before frame")
            await _check_end(reader, scan_at=position)
            width, height, codec = frame
            return PictureHeader(width, height, codec, capture=metadata.capture())
        if marker == END_OF_IMAGE:
            raise ProbeRejected(RejectReason.CORRUPT, "no scan")
        if marker in _FRAMES:
            frame = await _frame(reader, position, marker, length)
            limits.check_size(frame[0], frame[1])
        elif marker in (_APP1, _APP13) and metadata.is_wanted(
            await reader.read_upto(position + 4, MARK_BYTES)
        ):
            metadata.note(await reader.read(position + 4, length - 2))
        position += 2 + length
    raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many segments")


async def _frame(reader: BlockReader, position: int, marker: int, length: int) -> tuple[int, int, str]:
    codec = _DECODABLE_FRAMES.get(marker)
    if codec is None:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"JPEG process {marker - _FIRST_FRAME}")
    if length < 11:
        raise ProbeRejected(RejectReason.CORRUPT, "frame header too short")
    body = await reader.read(position + 4, 6)
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if body[5] not in (1, 3, 4) or length != 8 + 3 * body[5]:
        raise ProbeRejected(RejectReason.CORRUPT, f"{body[5]} components")
    return width, height, codec


async def _check_end(reader: BlockReader, *, scan_at: int) -> None:
    """Raises `truncated` for a file that stops within a scan.

    Anything may follow the end of the picture: phones append megabytes (films, depth maps, SEFT trailers).
    Where the end marker is not near the end of the file, it is searched from the scan on. A picture that is
    too long for that search counts as cut off only if its tail reads like scan data.
    """
    for length in (_TAIL_BYTES, _LONG_TAIL_BYTES):
        tail = await reader.tail(min(length, reader.size_bytes - scan_at))
        if _END_MARKER in tail:
            return
    if not _reads_like_scan(tail) or await _has_end(reader, scan_at):
        return
    if reader.size_bytes - scan_at <= _WALKED_BYTES or tail.count(b"\xff\x00") >= _LIKELY_STUFFED:
        raise ProbeRejected(RejectReason.TRUNCATED, "no end of image")


async def _has_end(reader: BlockReader, position: int) -> bool:
    """Returns whether the end marker is in the bytes that are walked."""
    end = min(reader.size_bytes, position + _WALKED_BYTES)
    while position < end:
        piece = await reader.read_upto(position, _STEP_BYTES)
        if _END_MARKER in piece:
            return True
        position += len(piece) - 1 if len(piece) > 1 else 1  # a marker may lie across two pieces
    return False


def _reads_like_scan(tail: bytes) -> bool:
    after_ff = [part[:1] for part in tail.split(b"\xff")[1:]]
    return all(following == b"" or following[0] in _SCAN_MARKERS for following in after_ff)
