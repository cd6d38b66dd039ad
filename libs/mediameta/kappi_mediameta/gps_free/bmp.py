"""Location removal for BMP: headers, masks, palette, pixels and colour profile stay."""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.gps_free.edits import Region, Unremovable
from kappi_mediameta.probing import bmp

_INFO, _V5 = 40, 124
_MASKS_BYTES: Final = {bmp.BIT_FIELDS: 12, bmp.BIT_FIELDS_AND_ALPHA: 16}
"""Sizes of masks behind a plain header, by compression."""
_EMBEDDED: Final = b"DEBM"  # "MBED", little-endian: the profile is in the file


async def clean_bmp(region: Region) -> None:
    head = await region.read(0, min(bmp.HEADER_BYTES, region.size_bytes))
    header = bmp.header_of(head)
    fields = head[bmp.FILE_HEADER_BYTES : header.palette_at]
    length, fields = header.palette_at - bmp.FILE_HEADER_BYTES, fields.ljust(_V5, b"\0")
    if length > _V5:
        raise Unremovable("a header of an unknown length")
    palette = header.colour_bytes * (header.colours or (1 << header.depth if header.depth <= 8 else 0))
    palette += _MASKS_BYTES.get(header.compression, 0) if length == _INFO else 0
    room = max(0, header.pixels_at - header.palette_at)
    kept = [(0, header.palette_at), (header.palette_at, min(palette, room))]
    # Run-length encoded pixels have their size in the header, others often do not.
    (size,) = struct.unpack_from("<I", fields, 20)
    runs = size and header.compression in (bmp.RUNS_OF_4, bmp.RUNS_OF_8)
    kept.append((header.pixels_at, size if runs else abs(header.height) * header.row_bytes))
    if length == _V5 and fields[56:60] == _EMBEDDED:
        profile_at, profile_bytes = struct.unpack_from("<II", fields, 112)
        kept.append((bmp.FILE_HEADER_BYTES + profile_at, profile_bytes))
    await region.keep_only(kept)
