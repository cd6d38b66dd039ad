"""BMP: size from the DIB header, completeness by arithmetic (Microsoft BITMAPINFOHEADER family)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_media.probing.facts import PictureHeader, ProbeLimits
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_CORE_HEADER_BYTES: Final = 12
_UNCOMPRESSED: Final = frozenset({0, 3, 6})
_RUN_LENGTH: Final = frozenset({1, 2})
_DEPTHS: Final = frozenset({1, 4, 8, 16, 24, 32})


async def read_bmp(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    pixels_at, dib_size = struct.unpack("<II", await reader.read(10, 8))
    compression = 0
    if dib_size == _CORE_HEADER_BYTES:
        width, height, planes, depth = struct.unpack("<HHHH", await reader.read(18, 8))
    else:
        width, height, planes, depth, compression = struct.unpack("<iiHHI", await reader.read(18, 16))
        height = abs(height)  # negative: rows are stored top down
    if planes != 1 or depth not in _DEPTHS:
        raise ProbeRejected(RejectReason.CORRUPT, f"{planes} planes, {depth} bits")
    limits.check_size(width, height)
    if compression in _UNCOMPRESSED:
        row_bytes = (width * depth + 31) // 32 * 4
        if pixels_at + row_bytes * height > reader.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "rows missing")
    elif compression in _RUN_LENGTH:
        if pixels_at + 2 > reader.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "rows missing")
    else:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"BMP compression {compression}")
    return PictureHeader(width, height, "bmp")
