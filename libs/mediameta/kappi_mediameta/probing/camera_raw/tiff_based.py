"""Camera RAW in a TIFF structure: CR2, NEF, NRW, ARW, SR2, DNG, ORF, RW2, PEF, 3FR and IIQ.

Sources: Adobe DNG 1.7, TIFF/EP, and the tags that ExifTool lists for each maker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from kappi_mediameta.probing.camera_raw.maker_notes import maker_facts
from kappi_mediameta.probing.camera_raw.marks import raw_layout, shows_raw
from kappi_mediameta.probing.camera_raw.picture import (
    Preview,
    RawPicture,
    is_close,
    plausible_previews,
    preview_header,
)
from kappi_mediameta.probing.exif import EXIF_DIRECTORY, GPS_DIRECTORY, ExifTags
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.metadata import Metadata
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import SUB_DIRECTORIES, Tags, integer, numbers
from kappi_mediameta.probing.tiff_file import (
    HEIGHT,
    IPTC,
    MAX_DIRECTORIES,
    STRIPS,
    WIDTH,
    XMP,
    FieldsByTag,
    TiffFile,
    area,
)
from kappi_mediameta.probing.tiff_samples import COMPRESSION, FORMAT

_FLOAT: Final = 3
DEVELOPED: Final = frozenset({(1, 1), (7, 1), (34892, 1), (1, _FLOAT), (8, _FLOAT)})
"""The sensor data of DNG that decoders read, compression and sample format: whole numbers without compression
(1), in lossless (7) and in lossy JPEG (34892), floating point without and in Deflate (8)."""
_JPEG_AT, _JPEG_BYTES = 513, 514
_JPEG_COMPRESSIONS: Final = frozenset({6, 7})
_CROP_SIZE: Final = 50720
_EXIF_SIZE: Final = (0xA002, 0xA003)
_PANASONIC_PREVIEWS: Final = (0x002E, 0x0127)
_PANASONIC_SENSOR: Final = (2, 3)  # width, height
_PANASONIC_DATA: Final = 0x0118
_PANASONIC_BORDERS: Final = (4, 5, 6, 7)  # top, left, bottom, right

Size = tuple[int, int]


class _Directory(NamedTuple):
    fields: FieldsByTag
    tags: Tags


_NOTHING: Final = _Directory({}, {})


async def read_raw_tiff(reader: BlockReader, limits: ProbeLimits, fmt: MediaFormat) -> RawPicture:
    layout = raw_layout(head := await reader.read_upto(0, 16))
    if layout is None or len(head) < 16:
        raise ProbeRejected(RejectReason.CORRUPT, "no TIFF header")
    file = TiffFile(reader, layout)
    directories = await _directories(file, layout.integer(head[8:16] if layout.big else head[4:8]))
    main = directories[0]
    sensor = max((each for each in directories if shows_raw(each.tags)), key=_area, default=_NOTHING)
    if fmt is MediaFormat.RW2:
        _check_panasonic_end(main.tags, size_bytes=reader.size_bytes)
    elif sensor.fields:
        await file.check_end(sensor.fields)
    exif_fields = await file.directory(integer(main.tags, EXIF_DIRECTORY)) or {}
    exif = await file.values(exif_fields)
    maker = await maker_facts(reader, layout, fmt, exif_fields)
    found = [*maker.previews, *(preview for each in directories for preview in _previews(file, each))]
    previews = plausible_previews(found, size_bytes=reader.size_bytes)
    if fmt is MediaFormat.DNG:
        _check_coding(sensor.tags, previews)
    shown = await preview_header(reader, previews[0], limits) if previews else None
    size = maker.size or _sensor_size(main.tags, sensor.tags, fmt)
    width, height = _shown_size(size, main=main.tags, exif=exif, shown=shown)
    limits.check_size(width, height)
    capture = await _capture(file, main, exif)
    if fmt is MediaFormat.RW2 and capture.taken_at is None and shown is not None:
        capture = _with_facts_of_preview(capture, shown.capture)
    header = PictureHeader(width, height, fmt.value.extension[1:], capture=capture)
    return RawPicture(header, previews, fmt is not MediaFormat.DNG or _is_developed(sensor.tags))


def _check_panasonic_end(main: Tags, *, size_bytes: int) -> None:
    """Raises `truncated` where sensor data are missing. Their size is not written: it is at least half a byte
    a pixel."""
    width, height = (integer(main, tag) or 0 for tag in _PANASONIC_SENSOR)
    if (integer(main, _PANASONIC_DATA) or 0) + width * height // 2 > size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "pixels missing")


def _is_developed(sensor: Tags) -> bool:
    return (integer(sensor, COMPRESSION), integer(sensor, FORMAT) or 1) in DEVELOPED


def _check_coding(sensor: Tags, previews: tuple[Preview, ...]) -> None:
    if not previews and not _is_developed(sensor):
        compression = integer(sensor, COMPRESSION)
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"DNG compression {compression}, no preview")


async def _directories(file: TiffFile, main_at: int) -> list[_Directory]:
    """Returns the first directory, those below it, and those that follow it."""
    found: list[_Directory] = []
    waiting: list[int] = [main_at]
    following: int | None = main_at
    while len(found) < MAX_DIRECTORIES:
        if not waiting:
            following = await file.following(following) if following is not None else None
            if following is None or not file.holds(following):
                break  # some makers leave any number behind their last directory
            waiting.append(following)
        fields = await file.directory(waiting.pop(0))
        if fields is None:
            continue
        tags = await file.values(fields)
        found.append(_Directory(fields, tags))
        waiting += [int(at) for at in numbers(tags, SUB_DIRECTORIES)[:MAX_DIRECTORIES]]
    if not found:
        raise ProbeRejected(RejectReason.CORRUPT, "no directory")
    return found


def _area(directory: _Directory) -> int:
    return area(directory.tags)


def _previews(file: TiffFile, directory: _Directory) -> Iterator[Preview]:
    tags = directory.tags
    for tag in _PANASONIC_PREVIEWS:
        field = directory.fields.get(tag)
        if field is not None and not field.is_inline:
            yield Preview(file.layout.integer(field.rest), field.size_bytes)
    if shows_raw(tags):
        return
    at, length = integer(tags, _JPEG_AT), integer(tags, _JPEG_BYTES)
    if at is not None and length is not None:
        yield Preview(at, length)
    starts, lengths = (numbers(tags, tag) for tag in STRIPS)
    if len(starts) == len(lengths) == 1 and integer(tags, COMPRESSION) in _JPEG_COMPRESSIONS:
        yield Preview(int(starts[0]), int(lengths[0]))


def _sensor_size(main: Tags, sensor: Tags, fmt: MediaFormat) -> Size | None:
    """Returns the size of what the sensor recorded, without its edges where the file says so."""
    if fmt is MediaFormat.RW2:
        top, left, bottom, right = (integer(main, tag) or 0 for tag in _PANASONIC_BORDERS)
        return _size(right - left, bottom - top)
    for tags in (sensor, main):
        crop = numbers(tags, _CROP_SIZE)
        if len(crop) == 2 and (size := _size(*crop)):
            return size
    return _size(integer(sensor, WIDTH), integer(sensor, HEIGHT))


def _shown_size(sensor: Size | None, *, main: Tags, exif: Tags, shown: PictureHeader | None) -> Size:
    """Returns the size that the camera itself shows: of EXIF or of the largest preview, where it is one that
    the sensor can have recorded; else what the sensor recorded."""
    written = _size(*(integer(exif, tag) for tag in _EXIF_SIZE))
    if sensor is None:
        size = written or _size(integer(main, WIDTH), integer(main, HEIGHT))
        if size is None:
            raise ProbeRejected(RejectReason.CORRUPT, "no size")
        return size
    if written is not None and is_close(written, sensor):
        return written
    shape = (shown.stored_width, shown.stored_height) if shown is not None else sensor
    return shape if is_close(shape, sensor) else sensor


def _size(width: float | None, height: float | None) -> Size | None:
    if not (width and height and width >= 1 and height >= 1):
        return None
    return round(width), round(height)


async def _capture(file: TiffFile, main: _Directory, exif: Tags) -> CaptureFacts:
    gps = await file.tags_at(integer(main.tags, GPS_DIRECTORY))
    metadata = Metadata(
        exif=ExifTags(main.tags, exif, gps),
        xmp=[await file.block(main.fields.get(XMP))],
        iptc=await file.block(main.fields.get(IPTC)),
    )
    return metadata.capture()


def _with_facts_of_preview(capture: CaptureFacts, shown: CaptureFacts) -> CaptureFacts:
    """Returns the facts of a preview, and those of the file where it has some."""
    return replace(
        shown,
        orientation=capture.orientation,
        camera=capture.camera or shown.camera,
        location=capture.location or shown.location,
    )
