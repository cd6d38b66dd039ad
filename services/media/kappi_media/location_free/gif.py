"""Places out of a GIF: the XMP that an application extension holds (GIF89a, XMP specification part 3)."""

from __future__ import annotations

from typing import Final

from kappi_media.location_free.edits import MAX_VALUE_BYTES, Region, Unremovable
from kappi_media.location_free.xmp import clean_xmp

_BEGIN: Final = b"\x21\xff\x0bXMP DataXMP"
# The packet is not cut into blocks; a ramp of bytes behind it brings readers that think so back in step.
_END: Final = b"\x01\xff\xfe\xfd"


async def clean_gif(region: Region) -> None:
    position = 0
    while position + len(_BEGIN) <= region.size_bytes:
        piece = await region.file.scan(position)
        found = piece.find(_BEGIN)
        if found >= 0:
            start = position + found + len(_BEGIN)
            length = min(MAX_VALUE_BYTES, region.size_bytes - start)
            end = (await region.read(start, length)).find(_END)
            if end < 0:
                raise Unremovable("XMP without an end")
            await clean_xmp(region.part(start, end))
            position = start
        else:
            position += max(1, len(piece) - len(_BEGIN))
