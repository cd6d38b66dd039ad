"""TIFF and BigTIFF: size, coding and EXIF of the first picture (TIFF 6.0). Camera RAW is no TIFF here."""

from __future__ import annotations

from typing import Final

from kappi_media.probing.exif import EXIF_DIRECTORY, GPS_DIRECTORY, ExifTags
from kappi_media.probing.facts import PictureHeader, ProbeLimits
from kappi_media.probing.metadata import Metadata
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader
from kappi_media.probing.tiff_fields import (
    MAX_FIELDS,
    Field,
    Layout,
    Tags,
    Value,
    fields,
    integer,
    layout_of,
    value_of,
)

_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _DNG_VERSION = 256, 257, 259, 262, 50706
_XMP, _IPTC, _PHOTOSHOP = 700, 33723, 34377
_MAX_METADATA_BYTES: Final = 1 << 20
_STRIPS: Final = (273, 279)  # offsets, byte counts
_TILES: Final = (324, 325)
_RAW_PHOTOMETRICS: Final = frozenset({32803, 34892})
_CANON_RAW: Final = b"CR"
_CODECS: Final = {
    1: "tiff",
    2: "tiff-ccitt",
    3: "tiff-ccitt",
    4: "tiff-ccitt",
    5: "tiff-lzw",
    7: "tiff-jpeg",
    8: "tiff-deflate",
    32773: "tiff-packbits",
    32946: "tiff-deflate",
    34925: "tiff-lzma",
    50000: "tiff-zstd",
    50001: "tiff-webp",
}


async def read_tiff(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    head = await reader.read_upto(0, 16)
    layout = layout_of(head)
    if layout is None or len(head) < 16:
        raise ProbeRejected(RejectReason.CORRUPT, "no TIFF header")
    if layout.big and head[4:8] not in (b"\x08\x00\x00\x00", b"\x00\x08\x00\x00"):
        raise ProbeRejected(RejectReason.CORRUPT, "impossible offset size")
    if head[8:10] == _CANON_RAW:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    main = await _directory(reader, layout, layout.integer(head[8:16] if layout.big else head[4:8]))
    if main is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no directory")
    tags = await _values(reader, layout, main)
    width, height, codec = _picture(tags)
    limits.check_size(width, height)
    await _check_end(reader, layout, main)
    exif = await _values(reader, layout, await _directory(reader, layout, integer(tags, EXIF_DIRECTORY)))
    gps = await _values(reader, layout, await _directory(reader, layout, integer(tags, GPS_DIRECTORY)))
    metadata = Metadata(
        exif=ExifTags(tags, exif, gps),
        xmp=[await _block(reader, layout, main.get(_XMP))],
        photoshop=await _block(reader, layout, main.get(_PHOTOSHOP)),
        iptc=await _block(reader, layout, main.get(_IPTC)),
    )
    return PictureHeader(width, height, codec, capture=metadata.capture())


async def _directory(reader: BlockReader, layout: Layout, at: int | None) -> dict[int, Field] | None:
    """The fields by tag, the first of each; None where there is no directory."""
    if at is None or not 8 <= at <= reader.size_bytes - layout.count_bytes:
        if at is not None and at > reader.size_bytes - layout.count_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "directory past the end")
        return None
    count = min(layout.integer(await reader.read(at, layout.count_bytes)), MAX_FIELDS)
    entries = await reader.read(at + layout.count_bytes, count * layout.field_bytes)
    found: dict[int, Field] = {}
    for field in fields(entries, layout):
        found.setdefault(field.tag, field)
    return found


async def _values(reader: BlockReader, layout: Layout, directory: dict[int, Field] | None) -> Tags:
    values: dict[int, Value] = {}
    for tag, field in (directory or {}).items():
        if not field.is_small:
            continue
        raw = await _raw(reader, layout, field)
        if raw is not None:
            values[tag] = value_of(field, raw, layout)
    return values


async def _raw(reader: BlockReader, layout: Layout, field: Field) -> bytes | None:
    if field.is_inline:
        return field.rest[: field.size_bytes]
    place = layout.integer(field.rest)
    if place + field.size_bytes > reader.size_bytes:
        return None
    return await reader.read(place, field.size_bytes)


async def _block(reader: BlockReader, layout: Layout, field: Field | None) -> bytes:
    """What a field holds, of whatever type; nothing where it is too much."""
    if field is None or not 0 < field.size_bytes <= _MAX_METADATA_BYTES:
        return b""
    return await _raw(reader, layout, field) or b""


def _picture(tags: Tags) -> tuple[int, int, str]:
    width, height = integer(tags, _WIDTH), integer(tags, _HEIGHT)
    if width is None or height is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no size")
    if _DNG_VERSION in tags or integer(tags, _PHOTOMETRIC) in _RAW_PHOTOMETRICS:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    compression = integer(tags, _COMPRESSION) or 1
    codec = _CODECS.get(compression)
    if codec is None:
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"TIFF compression {compression}")
    return width, height, codec


async def _check_end(reader: BlockReader, layout: Layout, main: dict[int, Field]) -> None:
    """Raises `truncated` where the last strip or tile reaches past the end."""
    for offsets_tag, counts_tag in (_STRIPS, _TILES):
        offsets, counts = main.get(offsets_tag), main.get(counts_tag)
        if offsets is None or counts is None:
            continue
        last = await _last(reader, layout, offsets) + await _last(reader, layout, counts)
        if last > reader.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "pixels missing")
        return
    raise ProbeRejected(RejectReason.CORRUPT, "no pixels")


async def _last(reader: BlockReader, layout: Layout, field: Field) -> int:
    """The last number of a field that may be long."""
    if not field.size_bytes:
        raise ProbeRejected(RejectReason.CORRUPT, "impossible field")
    width = field.size_bytes // field.count
    if field.is_inline:
        return layout.integer(field.rest[field.size_bytes - width : field.size_bytes])
    at = layout.integer(field.rest) + field.size_bytes - width
    return layout.integer(await reader.read(at, width))
