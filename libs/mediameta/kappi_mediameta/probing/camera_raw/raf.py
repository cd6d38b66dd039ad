"""Camera RAW of Fujifilm (RAF): a header, a JPEG with the EXIF, and a list of records on the sensor data.

Source: the structure that ExifTool describes.
"""

from __future__ import annotations

import struct
from typing import Final

from kappi_mediameta.probing.camera_raw.picture import Preview, RawPicture, plausible_previews, preview_header
from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_OFFSETS_AT: Final = 84
_FULL_SIZE, _CROPPED_SIZE = 0x0100, 0x0111  # height first
_MAX_RECORDS: Final = 256
_CROP: Final = 0.05
"""By how much the shapes of preview and sensor differ because of a crop."""


async def read_raf(reader: BlockReader, limits: ProbeLimits, fmt: MediaFormat) -> RawPicture:
    jpeg_at, jpeg_bytes, records_at, records_bytes, sensor_at, sensor_bytes = struct.unpack(
        ">6I", await reader.read(_OFFSETS_AT, 24)
    )
    if sensor_at + sensor_bytes > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "sensor data missing")
    previews = plausible_previews([Preview(jpeg_at, jpeg_bytes)], size_bytes=reader.size_bytes)
    shown = await preview_header(reader, previews[0], limits) if previews else None
    if shown is None:
        raise ProbeRejected(RejectReason.CORRUPT, "no preview")
    size = _shown_size(await _size(reader, records_at, records_bytes), shown)
    limits.check_size(*size)
    return RawPicture(PictureHeader(*size, fmt.value.extension[1:], capture=shown.capture), previews)


def _shown_size(sensor: tuple[int, int] | None, preview: PictureHeader) -> tuple[int, int]:
    """Returns the size of the developed picture. Some sensors record half of the rows, or turned pixels."""
    if sensor is None:
        return preview.stored_width, preview.stored_height
    width, height = sensor
    shown = round(width * preview.stored_height / preview.stored_width)
    return width, height if abs(shown - height) <= _CROP * height else shown


async def _size(reader: BlockReader, at: int, length: int) -> tuple[int, int] | None:
    """Returns the size of the picture by the records, or None."""
    sizes: dict[int, tuple[int, int]] = {}
    block = await reader.read_upto(at, min(length, 64 << 10)) if at < reader.size_bytes else b""
    position = 4
    for _ in range(min(_MAX_RECORDS, int.from_bytes(block[:4], "big"))):
        if position + 8 > len(block):
            break
        tag, size = struct.unpack_from(">HH", block, position)
        if tag in (_FULL_SIZE, _CROPPED_SIZE) and size == 4:
            height, width = struct.unpack_from(">HH", block, position + 4)
            if width and height:
                sizes[tag] = (width, height)
        position += 4 + size
    return sizes.get(_CROPPED_SIZE) or sizes.get(_FULL_SIZE)
