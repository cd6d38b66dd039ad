"""Places out of a WebP: its EXIF and XMP chunks, in place (RFC 9649)."""

from __future__ import annotations

import struct
from typing import Final

from kappi_media.location_free.edits import Region, Unremovable
from kappi_media.location_free.tiff import clean_tiff
from kappi_media.location_free.xmp import clean_xmp

_MAX_CHUNKS: Final = 100_000


async def clean_webp(region: Region) -> None:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > region.size_bytes:
            return
        name, length = struct.unpack("<4sI", await region.read(position, 8))
        if name in (b"EXIF", b"XMP "):
            body = region.part(position + 8, length)
            if name == b"XMP ":
                await clean_xmp(body)
            else:
                # Some writers keep the prefix that belongs to JPEG.
                skipped = 6 if length > 6 and await body.read(0, 4) == b"Exif" else 0
                await clean_tiff(body.part(skipped, length - skipped))
        position += 8 + length + (length & 1)
    raise Unremovable("too many chunks")
