"""Header of JPEG XL: a codestream, bare or in boxes (ISO/IEC 18181).

The orientation is one of the codestream, and decoders apply it. They ignore that of EXIF.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.containers.jxl_codestream import (
    BLACK,
    FILTER_ARRAY,
    GREY,
    MAX_HEADER_BYTES,
    RGB,
    SIGNATURE,
    BadCodestream,
    CutCodestream,
    JxlHeader,
    header_of,
)
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_MAX_METADATA_BYTES: Final = 1 << 20
_PART_INDEX_BYTES: Final = 4
_LAST_PART: Final = 0x8000_0000


@dataclass(slots=True)
class JxlParts:
    """Where the codestream lies, (start, end) of each part, and the blocks of metadata beside it. Metadata
    that is packed with Brotli is not read."""

    codestream: list[tuple[int, int]] = field(default_factory=list)
    metadata: Metadata = field(default_factory=Metadata)


async def read_jxl(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    parts = await read_parts(reader, limits)
    header = await codestream_header(reader, parts)
    limits.check_size(header.width, header.height)
    return PictureHeader(
        header.width,
        header.height,
        "jxl",
        capture=replace(parts.metadata.capture(), orientation=header.orientation),
    )


async def codestream_header(reader: BlockReader, parts: JxlParts) -> JxlHeader:
    """Returns the header. Raises ProbeRejected, also for colours that the decoder does not return."""
    body = b""
    for start, end in parts.codestream:
        body += await reader.read_upto(start, min(end - start, MAX_HEADER_BYTES - len(body)))
        if len(body) >= MAX_HEADER_BYTES:
            break
    try:
        header = header_of(body)
    except BadCodestream as bad:
        is_cut = isinstance(bad, CutCodestream) and len(body) < MAX_HEADER_BYTES
        raise ProbeRejected(RejectReason.TRUNCATED if is_cut else RejectReason.CORRUPT, str(bad)) from bad
    if not header.profiled and header.colour_space not in (RGB, GREY):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG XL: unknown colours")
    if header.animated:  # the decoder returns the last frame only
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG XL: an animation")
    if not {BLACK, FILTER_ARRAY}.isdisjoint(header.extra_channels):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG XL: CMYK or sensor data")
    return header


async def read_parts(reader: BlockReader, limits: ProbeLimits) -> JxlParts:
    """Returns the parts. Raises ProbeRejected."""
    parts = JxlParts()
    if await reader.read_upto(0, len(SIGNATURE)) == SIGNATURE:
        parts.codestream = [(0, reader.size_bytes)]
        return parts
    boxes = BoxReader(reader, max_boxes=limits.max_parts)
    is_last = False
    async for box in boxes.of_file():
        if box.name in (b"jxlc", b"jxlp") and is_last:
            raise ProbeRejected(RejectReason.CORRUPT, "JPEG XL: a second codestream")
        if box.name == b"jxlc":
            parts.codestream.append((box.start, box.end))
            is_last = True
        elif box.name == b"jxlp":
            index = int.from_bytes(await boxes.fields(box, _PART_INDEX_BYTES), "big")
            if index & ~_LAST_PART != len(parts.codestream):
                raise ProbeRejected(RejectReason.CORRUPT, "JPEG XL: parts in another order")
            is_last = bool(index & _LAST_PART)
            parts.codestream.append((box.start + _PART_INDEX_BYTES, box.end))
        else:
            await _note_metadata(boxes, box, parts.metadata)
    if not is_last:
        missing = RejectReason.TRUNCATED if parts.codestream else RejectReason.NO_PICTURE
        raise ProbeRejected(missing, "JPEG XL: no end of the codestream")
    return parts


async def _note_metadata(boxes: BoxReader, box: Box, metadata: Metadata) -> None:
    if box.size_bytes > _MAX_METADATA_BYTES:
        return
    if box.name == b"Exif" and metadata.exif is None and box.size_bytes > 8:
        block = await boxes.body(box, at_most=box.size_bytes)
        # The first number is the offset of the TIFF header behind it.
        metadata.exif = exif_tags(block[4 + int.from_bytes(block[:4], "big") :])
    elif box.name == b"xml " and not metadata.xmp:
        metadata.xmp = [await boxes.body(box, at_most=box.size_bytes)]
