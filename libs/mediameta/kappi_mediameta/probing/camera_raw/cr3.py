"""Camera RAW of newer Canon cameras (CR3): boxes, with EXIF in four TIFF structures.

Sources: ISO/IEC 14496-12; the boxes that ExifTool lists for Canon.
"""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.containers.tiff_directories import layout_of
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.camera_raw.picture import Preview, RawPicture, plausible_previews
from kappi_mediameta.probing.exif import ExifTags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import Tags, directory, integer
from kappi_mediameta.probing.tiff_file import HEIGHT, WIDTH

_CANON: Final = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_PREVIEW: Final = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_SIZE: Final = (0xA002, 0xA003)
_MAX_TIFF_BYTES: Final = 256 << 10
_MAX_XMP_BYTES: Final = 1 << 20
_TRACK: Final = (b"mdia", b"minf", b"stbl")
_JPEG_IN_PRVW: Final = 16  # behind version, size of the picture and the number of its bytes
_CODEC_AT: Final = 78  # of a visual sample entry
_MAX_BOX: Final = 8 << 10


class _Found:
    """What the boxes say. parts: the TIFF structures by the name of their box."""

    def __init__(self) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.xmp = b""
        self.previews: list[Preview] = []
        self.media_end = 0


async def read_cr3(reader: BlockReader, limits: ProbeLimits, fmt: MediaFormat) -> RawPicture:
    boxes = BoxReader(reader, max_boxes=limits.max_parts)
    found = _Found()
    async for box in boxes.of_file():
        if box.name == b"moov":
            await _read_movie(boxes, box, found)
        elif box.name == b"uuid":
            await _read_uuid(boxes, box, found)
    main, exif, gps = (_tags(found.parts.get(name, b"")) for name in (b"CMT1", b"CMT2", b"CMT4"))
    sizes = [
        (integer(tags, w), integer(tags, h)) for tags, (w, h) in ((exif, _EXIF_SIZE), (main, (WIDTH, HEIGHT)))
    ]
    width, height = next(((w, h) for w, h in sizes if w and h), (0, 0))
    if not width or not height:
        raise ProbeRejected(RejectReason.CORRUPT, "no size")
    if found.media_end > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "sensor data missing")
    limits.check_size(width, height)
    metadata = Metadata(exif=ExifTags(main, exif, gps), xmp=[found.xmp])
    header = PictureHeader(width, height, fmt.value.extension[1:], capture=metadata.capture())
    return RawPicture(header, plausible_previews(found.previews, size_bytes=reader.size_bytes))


def _tags(block: bytes) -> Tags:
    layout = layout_of(block)
    return {} if layout is None else directory(block, layout, at=layout.integer(block[4:8]))


async def _read_movie(boxes: BoxReader, movie: Box, found: _Found) -> None:
    async for box in boxes.children(movie.start, movie.end):
        if box.name == b"uuid":
            await _read_uuid(boxes, box, found)
        elif box.name == b"trak":
            await _read_track(boxes, box, found)


async def _read_uuid(boxes: BoxReader, box: Box, found: _Found) -> None:
    if box.size_bytes < 16:
        return
    name = await boxes.fields(box, 16)
    inside = Box(box.name, box.begin, box.start + 16, box.end)
    if name == _XMP and not found.xmp:
        found.xmp = await boxes.body(inside, at_most=_MAX_XMP_BYTES)
    elif name == _CANON:
        async for part in boxes.children(inside.start, inside.end):
            if part.name in (b"CMT1", b"CMT2", b"CMT4"):
                found.parts.setdefault(part.name, await boxes.body(part, at_most=_MAX_TIFF_BYTES))
    elif name == _PREVIEW and inside.size_bytes > 8:
        async for part in boxes.children(inside.start + 8, inside.end):
            if part.name == b"PRVW" and part.size_bytes > _JPEG_IN_PRVW:
                found.previews.append(Preview(part.start + _JPEG_IN_PRVW, part.size_bytes - _JPEG_IN_PRVW))


async def _read_track(boxes: BoxReader, track: Box, found: _Found) -> None:
    """Notes the sample of a track: a JPEG, or what the sensor recorded."""
    table: Box | None = track
    for name in _TRACK:
        table = await _child(boxes, table, name) if table is not None else None
    if table is None:
        return
    bodies: dict[bytes, bytes] = {}
    async for box in boxes.children(table.start, table.end):
        bodies.setdefault(box.name, await boxes.body(box, at_most=_MAX_BOX))
    at, length = _sample(bodies)
    if not at or not length:
        return
    found.media_end = max(found.media_end, at + length)
    if bodies.get(b"stsd", b"")[8 + _CODEC_AT + 8 :].find(b"JPEG") >= 0:
        found.previews.append(Preview(at, length))


async def _child(boxes: BoxReader, parent: Box, name: bytes) -> Box | None:
    async for box in boxes.children(parent.start, parent.end):
        if box.name == name:
            return box
    return None


def _sample(bodies: dict[bytes, bytes]) -> tuple[int, int]:
    """Returns position and length of the first sample of a track, zeros where it has none."""
    sizes, offsets, large = (bodies.get(name, b"") for name in (b"stsz", b"stco", b"co64"))
    if len(sizes) < 12:
        return 0, 0
    each, _ = struct.unpack_from(">II", sizes, 4)
    if not each and len(sizes) >= 16:
        (each,) = struct.unpack_from(">I", sizes, 12)
    if len(large) >= 16:
        return struct.unpack_from(">Q", large, 8)[0], each
    return (struct.unpack_from(">I", offsets, 8)[0], each) if len(offsets) >= 12 else (0, 0)
