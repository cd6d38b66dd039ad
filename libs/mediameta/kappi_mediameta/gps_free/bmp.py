"""A BMP without what no decoder needs: headers, masks, palette, pixels and colour profile stay."""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable

_FILE_HEADER_BYTES: Final = 14
_CORE, _SHORTEST, _INFO, _V5 = 12, 16, 40, 124
_BIT_FIELDS: Final = {3: 12, 6: 16}
"""Bytes of masks behind a plain header, by compression."""
_RUN_LENGTHS: Final = frozenset({1, 2})
_EMBEDDED: Final = b"DEBM"  # "MBED", little-endian: the profile is in the file


async def clean_bmp(region: Region) -> None:
    pixels_at, header_bytes = struct.unpack("<II", await region.read(10, 8))
    if header_bytes > _V5 or (header_bytes < _SHORTEST and header_bytes != _CORE):
        raise Unremovable("a header of no known length")
    header = (await region.read(_FILE_HEADER_BYTES, header_bytes)).ljust(_INFO, b"\x00")
    behind = _FILE_HEADER_BYTES + header_bytes
    kept = [(0, behind)]
    if header_bytes == _CORE:
        width, height, _, depth = struct.unpack_from("<HHHH", header, 4)
        palette, size, compression = 3 << depth if depth <= 8 else 0, 0, 0
    else:
        width, height, _, depth, compression, size = struct.unpack_from("<iiHHII", header, 4)
        (used,) = struct.unpack_from("<I", header, 32)
        palette = 4 * (used or (1 << depth if depth <= 8 else 0))
        palette += _BIT_FIELDS.get(compression, 0) if header_bytes == _INFO else 0
    kept.append((behind, min(palette, max(0, pixels_at - behind))))
    rows = abs(height) * ((abs(width) * depth + 31) // 32 * 4)
    # Run-length encoded pixels tell their size, others often do not.
    kept.append((pixels_at, size if size and compression in _RUN_LENGTHS else rows))
    if header_bytes == _V5 and header[56:60] == _EMBEDDED:
        profile_at, profile_bytes = struct.unpack_from("<II", header, 112)
        kept.append((_FILE_HEADER_BYTES + profile_at, profile_bytes))
    await region.keep_only(kept)
