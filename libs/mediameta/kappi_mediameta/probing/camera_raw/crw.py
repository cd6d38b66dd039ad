"""Camera RAW of early Canon cameras (CRW): a heap of records within records, the CIFF format.

Sources: CIFF 1.0; the records that ExifTool lists.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from kappi_mediameta.probing.camera_raw.picture import Preview, RawPicture, plausible_previews
from kappi_mediameta.probing.exif import camera_of, plausible_instant
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.written import decoded

_MAKE_MODEL, _IMAGE_INFO, _TIME, _PREVIEW = 0x080A, 0x1810, 0x180E, 0x2007
_TAG_MASK, _TYPE_MASK, _PLACE_MASK = 0x3FFF, 0x3800, 0xC000
_HEAPS: Final = frozenset({0x2800, 0x3000})
_IN_ENTRY: Final = 0x4000
_ENTRY: Final = struct.Struct("<HII")
_MAX_HEAPS: Final = 16
_MAX_ENTRIES: Final = 256
_MAX_VALUE_BYTES: Final = 1024
_ZONE_KNOWN: Final = 1 << 31
_MAX_ZONE_S: Final = 14 * 3600
_ORIENTATIONS: Final = {90: 6, 180: 3, 270: 8}


class _Record(NamedTuple):
    """start, length: of a value in the file. inline: the value where it is in the entry itself."""

    start: int
    length: int
    inline: bytes


async def read_crw(reader: BlockReader, limits: ProbeLimits, fmt: MediaFormat) -> RawPicture:
    (heap_at,) = struct.unpack("<I", await reader.read(2, 4))
    records = await _records(reader, heap_at)
    info = await _value(reader, records, _IMAGE_INFO)
    if len(info) < 16:
        raise ProbeRejected(RejectReason.CORRUPT, "no size")
    width, height, _, rotation = struct.unpack_from("<IIfi", info)
    limits.check_size(width, height)
    make, _, model = (await _value(reader, records, _MAKE_MODEL)).partition(b"\x00")
    taken_at, zone = _taken(await _value(reader, records, _TIME))
    capture = CaptureFacts(
        orientation=_ORIENTATIONS.get(rotation % 360, 1),
        taken_at=taken_at,
        taken_offset_known=zone is not None,
        taken_offset_minutes=zone,
        camera=camera_of(decoded(make), decoded(model.split(b"\x00")[0])),
    )
    preview = records.get(_PREVIEW)
    found = [] if preview is None else [Preview(preview.start, preview.length)]
    header = PictureHeader(width, height, fmt.value.extension[1:], capture=capture)
    return RawPicture(header, plausible_previews(found, size_bytes=reader.size_bytes))


async def _records(reader: BlockReader, heap_at: int) -> dict[int, _Record]:
    """Returns the records of the heap and of those within it, the first of each tag."""
    records: dict[int, _Record] = {}
    heaps = [(heap_at, reader.size_bytes)]
    for _ in range(_MAX_HEAPS):
        if not heaps:
            break
        start, end = heaps.pop(0)
        for tag, record in await _entries(reader, start, end):
            if record.start + record.length > end:
                raise ProbeRejected(RejectReason.TRUNCATED, "record past the end")
            if tag & _TYPE_MASK in _HEAPS:
                heaps.append((record.start, record.start + record.length))
            else:
                records.setdefault(tag, record)
    return records


async def _entries(reader: BlockReader, start: int, end: int) -> Iterator[tuple[int, _Record]]:
    """Returns the entries of a heap, whose list is at its end."""
    (list_at,) = struct.unpack("<I", await reader.read(end - 4, 4))
    (count,) = struct.unpack("<H", await reader.read(start + list_at, 2))
    body = await reader.read(start + list_at + 2, min(count, _MAX_ENTRIES) * _ENTRY.size)
    return (
        (
            tag & _TAG_MASK,
            _Record(start, 0, struct.pack("<II", size, offset))
            if tag & _PLACE_MASK == _IN_ENTRY
            else _Record(start + offset, size, b""),
        )
        for tag, size, offset in _ENTRY.iter_unpack(body)
    )


async def _value(reader: BlockReader, records: dict[int, _Record], tag: int) -> bytes:
    record = records.get(tag)
    if record is None:
        return b""
    return record.inline or await reader.read(record.start, min(record.length, _MAX_VALUE_BYTES))


def _taken(value: bytes) -> tuple[datetime | None, int | None]:
    """Returns the time of capture, and the minutes east of UTC where the camera knew them."""
    if len(value) < 12:
        return None, None
    local, zone_s, flags = struct.unpack_from("<IiI", value)
    is_known = bool(flags & _ZONE_KNOWN) and abs(zone_s) <= _MAX_ZONE_S
    instant = plausible_instant(
        datetime.fromtimestamp(local, UTC) - timedelta(seconds=zone_s if is_known else 0)
    )
    return instant, zone_s // 60 if is_known and instant is not None else None
