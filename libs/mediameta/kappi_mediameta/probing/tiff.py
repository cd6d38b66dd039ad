"""Header of TIFF and BigTIFF: size, coding and EXIF of the first picture (TIFF 6.0). Refuses camera RAW."""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.tiff_directories import Field, Layout, layout_of, read_directory
from kappi_mediameta.probing.camera_raw import is_camera_raw, leads_to_raw, shows_raw
from kappi_mediameta.probing.exif import EXIF_DIRECTORY, GPS_DIRECTORY, ExifTags
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import (
    MAX_FIELDS,
    READABLE,
    Tags,
    Value,
    integer,
    is_small,
    numbers,
    value_of,
)
from kappi_mediameta.probing.tiff_samples import samples_of

_WIDTH, _HEIGHT = 256, 257
_SUB_DIRECTORIES: Final = 330
_XMP, _IPTC, _PHOTOSHOP = 700, 33723, 34377
_MAX_METADATA_BYTES: Final = 1 << 20
_STRIPS: Final = (273, 279)  # offsets, byte counts
_TILES: Final = (324, 325)
_MAX_OTHERS: Final = 16
"""The limit of directories that are read beside the first."""


async def read_tiff(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    head = await reader.read_upto(0, 16)
    layout = layout_of(head)
    if layout is None or len(head) < 16:
        raise ProbeRejected(RejectReason.CORRUPT, "no TIFF header")
    if layout.big and head[4:8] not in (b"\x08\x00\x00\x00", b"\x00\x08\x00\x00"):
        raise ProbeRejected(RejectReason.CORRUPT, "impossible offset size")
    if is_camera_raw(head):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
    main_at = layout.integer(head[8:16] if layout.big else head[4:8])
    main = await _directory(reader, layout, main_at)
    if main is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no directory")
    tags = await _values(reader, layout, main)
    if await _is_raw(reader, layout, tags, main_at):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "camera RAW")
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
    """Returns the fields by tag, the first of each, or None where there is no directory."""
    if at is None or not 8 <= at <= reader.size_bytes - layout.count_bytes:
        if at is not None and at > reader.size_bytes - layout.count_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "directory past the end")
        return None
    found = await read_directory(reader, layout, at, most=MAX_FIELDS)
    if len(found.fields) < min(found.stated_count, MAX_FIELDS):
        raise ProbeRejected(RejectReason.TRUNCATED, "directory reaches past the end")
    by_tag: dict[int, Field] = {}
    for field in found.fields:
        by_tag.setdefault(field.tag, field)
    return by_tag


async def _is_raw(reader: BlockReader, layout: Layout, tags: Tags, main_at: int) -> bool:
    """Returns whether the file is camera RAW. Its first directory mostly describes a small picture, and the
    sensor data is in a directory below it or behind it."""
    if leads_to_raw(tags):
        return True
    others = [(at, True) for at in _hanging_on(tags)]
    follows: int | None = main_at
    for _ in range(_MAX_OTHERS):
        if follows is not None and (follows := await _next(reader, layout, follows)) is not None:
            others.append((follows, False))
        if not others:
            return False
        at, hangs_on_main = others.pop(0)
        if at > reader.size_bytes - layout.count_bytes:
            continue  # the damage is in another picture
        other = await _values(reader, layout, await _directory(reader, layout, at))
        if shows_raw(other) or (hangs_on_main and _area(other) > _area(tags)):
            return True
        others += [(below, hangs_on_main) for below in _hanging_on(other)]
    return False


def _hanging_on(tags: Tags) -> list[int]:
    return [int(at) for at in numbers(tags, _SUB_DIRECTORIES)[:_MAX_OTHERS]]


def _area(tags: Tags) -> int:
    return (integer(tags, _WIDTH) or 0) * (integer(tags, _HEIGHT) or 0)


async def _next(reader: BlockReader, layout: Layout, at: int) -> int | None:
    """Returns the position of the directory that follows the one at a position, or None behind the last."""
    if at > reader.size_bytes - layout.count_bytes:
        return None
    found = await read_directory(reader, layout, at, most=MAX_FIELDS)
    return layout.integer(found.following) or None


async def _values(reader: BlockReader, layout: Layout, directory: dict[int, Field] | None) -> Tags:
    values: dict[int, Value] = {}
    for tag, field in (directory or {}).items():
        if not is_small(field):
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
    """Returns the value of a field of any type, or nothing where it is too long."""
    if field is None or field.kind not in READABLE or not 0 < field.size_bytes <= _MAX_METADATA_BYTES:
        return b""
    return await _raw(reader, layout, field) or b""


def _picture(tags: Tags) -> tuple[int, int, str]:
    width, height = integer(tags, _WIDTH), integer(tags, _HEIGHT)
    if width is None or height is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no size")
    return width, height, samples_of(tags).codec


async def _check_end(reader: BlockReader, layout: Layout, main: dict[int, Field]) -> None:
    """Raises `truncated` where the last strip or tile reaches past the end of the file."""
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
    """Returns the last number of a field that may be long."""
    if field.kind not in READABLE or not field.size_bytes:
        raise ProbeRejected(RejectReason.CORRUPT, "impossible field")
    width = field.size_bytes // field.count
    if field.is_inline:
        return layout.integer(field.rest[field.size_bytes - width : field.size_bytes])
    at = layout.integer(field.rest) + field.size_bytes - width
    return layout.integer(await reader.read(at, width))
