"""Header of JPEG 2000: a codestream, bare or in boxes (ISO/IEC 15444-1).

A bare codestream has no metadata. In boxes, EXIF turns the picture, as in JPEG.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.containers.jpeg2000 import (
    CODESTREAM_START,
    EXIF_UUID,
    IPTC_UUID,
    UUID_BYTES,
    XMP_UUID,
    segments,
    tile_parts,
)
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

SRGB, GREY, SYCC = 16, 17, 18
"""Colours of the `colr` box that decoders read correctly; any other needs an ICC profile."""
_MAX_METADATA_BYTES: Final = 1 << 20
_MAX_BITS: Final = 16
_CODING_STYLE: Final = 0xFF52
_LEVELS_AT: Final = 5
_MAX_LEVELS: Final = 32
_EXTENDED: Final = 0xC000  # parts 2 and 15 of the standard
_SIZE_BYTES: Final = 38
_COMPRESSION: Final = 7
# A part of a picture of many tiles is often in a block of its own. Further parts are not followed.
_MAX_TILE_PARTS: Final = 32
_TAIL_BYTES: Final = 64 << 10
_END: Final = b"\xff\xd9"


@dataclass(slots=True)
class Jp2Parts:
    """codestream: its start and end. boxes: of the picture, those that a decoder needs. colour: a number of
    above, or None. profile: start and end of the ICC profile. levels: how often it can be halved."""

    metadata: Metadata
    codestream: tuple[int, int] = (0, 0)
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    colour: int | None = None
    profile: tuple[int, int] | None = None
    width: int = 0
    height: int = 0
    components: int = 0
    levels: int = 0


async def read_jp2(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    parts = await read_parts(reader, limits)
    await _check_whole(reader, parts)
    return PictureHeader(parts.width, parts.height, "jpeg2000", capture=parts.metadata.capture())


async def read_parts(reader: BlockReader, limits: ProbeLimits) -> Jp2Parts:
    """Returns the parts. Raises ProbeRejected, also for samples and colours that no decoder reads."""
    parts = Jp2Parts(Metadata())
    if await reader.read_upto(0, len(CODESTREAM_START)) == CODESTREAM_START:
        parts.codestream = (0, reader.size_bytes)
    else:
        await _read_boxes(BoxReader(reader, max_boxes=limits.max_parts), parts)
    await _read_codestream(reader, parts, limits)
    return parts


async def _read_boxes(boxes: BoxReader, parts: Jp2Parts) -> None:
    kept = []
    async for box in boxes.of_file():
        if box.name == b"jp2h" and parts.size is None:
            await _read_header(boxes, box, parts)
            kept.append(box)
        elif box.name == b"jp2c" and parts.codestream[1] == 0:
            if parts.size is None:
                raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: no header")
            parts.codestream = (box.start, box.end)
            kept.append(box)
        elif box.name in (b"jP  ", b"ftyp"):
            kept.append(box)
        elif box.name == b"uuid":
            await _note_metadata(boxes, box, parts.metadata)
    if parts.codestream[1] == 0:
        raise ProbeRejected(RejectReason.NO_PICTURE, "JPEG 2000: no codestream")
    parts.boxes = tuple(kept)


async def _read_header(boxes: BoxReader, header: Box, parts: Jp2Parts) -> None:
    async for box in boxes.children(header.start, header.end):
        if box.name == b"ihdr":
            height, width, _, _, compression = struct.unpack(">IIHBB", await boxes.fields(box, 12))
            if compression != _COMPRESSION:
                raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: another compression")
            parts.size = (width, height)
        elif box.name == b"pclr":
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: a palette")
        elif box.name == b"colr" and parts.colour is None and parts.profile is None:
            method = (await boxes.fields(box, 3))[0]
            if method == 1:
                parts.colour = int.from_bytes((await boxes.fields(box, 7))[3:], "big")
            elif method in (2, 3):
                parts.profile = (box.start + 3, box.end)
    if parts.size is None:
        raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: no size")
    if parts.profile is None and parts.colour not in (SRGB, GREY, SYCC):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: colours without a profile")


async def _read_codestream(reader: BlockReader, parts: Jp2Parts, limits: ProbeLimits) -> None:
    start, end = parts.codestream
    if await reader.read(start, len(CODESTREAM_START)) != CODESTREAM_START:
        raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: no start of the codestream")
    body = await reader.read(start + 4, _SIZE_BYTES)
    extensions, right, bottom, left, top = struct.unpack_from(">HIIII", body, 2)
    (parts.components,) = struct.unpack_from(">H", body, 36)
    parts.width, parts.height = right - left, bottom - top
    limits.check_size(parts.width, parts.height)
    if parts.size is not None and parts.size != (parts.width, parts.height):
        raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: two sizes")
    if extensions & _EXTENDED or not 1 <= parts.components <= 4:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: extensions")
    _check_samples(await reader.read(start + 4 + _SIZE_BYTES, 3 * parts.components), parts)
    async for segment in segments(reader, start + 2, end):
        if segment.marker == _CODING_STYLE:
            parts.levels = (await reader.read(segment.start + _LEVELS_AT, 1))[0]
            if parts.levels > _MAX_LEVELS:
                raise ProbeRejected(RejectReason.CORRUPT, "JPEG 2000: impossible levels")


def _check_samples(described: bytes, parts: Jp2Parts) -> None:
    """Raises `unsupported_type` for signed samples, for more than sixteen bits, and for samples at distances
    that decoders do not know."""
    kinds = [tuple(described[at : at + 3]) for at in range(0, len(described), 3)]
    whole = all((across, down) == (1, 1) for _, across, down in kinds)
    # Colour at a half of the pixels, of brightness at all of them.
    halved = len(kinds) == 3 and kinds[0][1:] == (1, 1) and kinds[1] == kinds[2] and kinds[1][1:] in _HALVED
    if any(bits >= _MAX_BITS for bits, _, _ in kinds) or not (whole or halved):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: samples")
    if len({bits for bits, _, _ in kinds}) > 1:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: samples of different bits")
    if halved and parts.colour not in (None, SYCC):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "JPEG 2000: halved colours")


_HALVED: Final = ((2, 1), (2, 2))


async def _check_whole(reader: BlockReader, parts: Jp2Parts) -> None:
    """Raises `truncated` where parts of tiles are missing."""
    start, end = parts.codestream
    position, count = 0, 0
    async for segment in segments(reader, start + 2, end):
        position = segment.begin
    async for part in tile_parts(reader, position, end, most=_MAX_TILE_PARTS):
        count += 1
        position = end if part.end is None else part.end
    if not count:
        raise ProbeRejected(RejectReason.TRUNCATED, "JPEG 2000: no tile")
    if position < end and count < _MAX_TILE_PARTS:
        is_whole = await reader.read_upto(position, len(_END)) == _END
    else:
        length = min(_TAIL_BYTES, end - start)
        is_whole = position <= end and _END in await reader.read(end - length, length)
    if not is_whole:
        raise ProbeRejected(RejectReason.TRUNCATED, "JPEG 2000: no end of the codestream")


async def _note_metadata(boxes: BoxReader, box: Box, metadata: Metadata) -> None:
    if not UUID_BYTES < box.size_bytes <= _MAX_METADATA_BYTES:
        return
    body = await boxes.body(box, at_most=box.size_bytes)
    name, content = body[:UUID_BYTES], body[UUID_BYTES:]
    if name == EXIF_UUID and metadata.exif is None:
        metadata.exif = exif_tags(content)
    elif name == XMP_UUID and not metadata.xmp:
        metadata.xmp = [content]
    elif name == IPTC_UUID and not metadata.iptc:
        metadata.iptc = content
