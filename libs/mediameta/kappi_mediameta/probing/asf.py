"""Header of ASF, which WMV is: size, shape, duration, codec and time, by its header object (Microsoft
Advanced Systems Format specification 1.2).

Media are neither read nor walked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from kappi_mediameta.containers import asf_objects as asf
from kappi_mediameta.containers.asf_objects import AsfObject
from kappi_mediameta.probing.exif import plausible_instant
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.fourcc import BITMAP_HEADER_BYTES, Bitmap, bitmap_of
from kappi_mediameta.probing.movie_tracks import square_width
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

_PROTECTIONS: Final = frozenset(
    {
        asf.guid("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E"),
        asf.guid("298AE614-2622-4C17-B935-DAE07EE9289C"),
        asf.guid("43058533-6981-49E6-9B74-AD12CB86D58C"),
    }
)
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_FILE_FIELDS_BYTES, _STREAM_FIELDS_BYTES, _VIDEO_FIELDS_BYTES, _EXTENDED_FIELDS_BYTES = 68, 54, 11, 64
_MAX_METADATA_BYTES: Final = 256 << 10
_LIVE: Final = 1  # a flag: the sizes and the duration are not known


@dataclass(slots=True)
class _Film:
    """pictures: by number of the stream, in the order of the file. shapes: width and height of a pixel, by
    number of the stream."""

    duration_ms: int | None = None
    created_at: datetime | None = None
    pictures: dict[int, Bitmap] = field(default_factory=dict)
    shapes: dict[int, dict[str, int]] = field(default_factory=dict)

    def shape(self, stream: int) -> Fraction | None:
        """Returns the shape of a pixel of a stream, else the one that the file has for all streams."""
        for number in (stream, 0):
            sides = self.shapes.get(number, {})
            across, down = sides.get("AspectRatioX", 0), sides.get("AspectRatioY", 0)
            if across and down:
                return Fraction(across, down)
        return None


async def read_asf(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    header = await _header(reader)
    film = await _Walker(reader, max_objects=limits.max_parts).read(header)
    if not film.pictures:
        raise ProbeRejected(RejectReason.NO_PICTURE)
    await _check_media(reader, header)
    stream, bitmap = next(iter(film.pictures.items()))
    width = square_width(bitmap.width, film.shape(stream))
    limits.check_size(width, bitmap.height, max_pixels=limits.max_video_pixels)
    limits.check_duration(film.duration_ms)
    capture = CaptureFacts()
    if film.created_at is not None:
        capture = replace(capture, taken_at=film.created_at, taken_offset_known=True)
    return PictureHeader(
        stored_width=width,
        stored_height=bitmap.height,
        codec=bitmap.codec,
        animated=True,
        duration_ms=film.duration_ms,
        capture=capture,
    )


async def _header(reader: BlockReader) -> AsfObject:
    async for found in asf.asf_objects(reader, 0, reader.size_bytes, most=1):
        if found.end > reader.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its header")
        if found.id == asf.HEADER and found.end >= asf.HEADER_BYTES:
            return found
        break
    raise ProbeRejected(RejectReason.CORRUPT, "no header")


async def _check_media(reader: BlockReader, header: AsfObject) -> None:
    """Raises ProbeRejected where media are missing. A live recording does not know their size."""
    if reader.size_bytes - header.end < asf.OBJECT_HEADER_BYTES:
        raise ProbeRejected(RejectReason.TRUNCATED, "no media data")
    head = await reader.read(header.end, asf.OBJECT_HEADER_BYTES)
    identifier, size = struct.unpack("<16sQ", head)
    if identifier != asf.DATA:
        raise ProbeRejected(RejectReason.CORRUPT, "no media data behind the header")
    if header.end + size > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its media data")


class _Walker:
    """Reads and counts the objects of one header."""

    def __init__(self, reader: BlockReader, *, max_objects: int) -> None:
        self._reader = reader
        self._max_objects = max_objects
        self._film = _Film()

    async def read(self, header: AsfObject) -> _Film:
        await self._inside(header, asf.HEADER_BYTES)
        return self._film

    async def _inside(self, parent: AsfObject, skipped: int) -> None:
        """Reads the objects of a parent. skipped: size of the fields before them."""
        start = parent.begin + skipped
        async for found in asf.asf_objects(self._reader, start, parent.end, most=self._max_objects):
            self._max_objects -= 1
            if found.end > parent.end:
                raise ProbeRejected(RejectReason.CORRUPT, "object reaches past its parent")
            await self._read(found, in_extension=parent.id == asf.HEADER_EXTENSION)

    async def _read(self, found: AsfObject, *, in_extension: bool) -> None:
        if found.id in _PROTECTIONS:
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "protected media")
        if found.id == asf.FILE_PROPERTIES:
            self._note_file(await self._fields(found, _FILE_FIELDS_BYTES))
        elif found.id == asf.STREAM_PROPERTIES:
            await self._note_stream(found)
        elif found.id == asf.HEADER_EXTENSION and not in_extension:
            await self._inside(found, asf.EXTENSION_BYTES)
        elif found.id == asf.EXTENDED_STREAM and in_extension:
            await self._note_extended(found)
        elif found.id == asf.METADATA:
            await self._note_shape(found)

    def _note_file(self, body: bytes) -> None:
        created, _, duration, _, preroll_ms, flags = struct.unpack_from("<QQQQQI", body, 24)
        milliseconds = duration // 10_000 - preroll_ms
        if not flags & _LIVE and milliseconds > 0:
            self._film.duration_ms = milliseconds
        try:
            self._film.created_at = plausible_instant(_EPOCH + timedelta(microseconds=created // 10))
        except OverflowError:
            self._film.created_at = None

    async def _note_stream(self, found: AsfObject) -> None:
        fields = await self._fields(found, _STREAM_FIELDS_BYTES)
        number = int.from_bytes(fields[48:50], "little") & 0x7F
        if fields[:16] == asf.VIDEO and number not in self._film.pictures:
            body = await self._fields(found, _STREAM_FIELDS_BYTES + _VIDEO_FIELDS_BYTES + BITMAP_HEADER_BYTES)
            self._film.pictures[number] = bitmap_of(body[_STREAM_FIELDS_BYTES + _VIDEO_FIELDS_BYTES :])

    async def _note_extended(self, found: AsfObject) -> None:
        """Reads the properties of a stream that may stand behind its extended ones, names and extensions."""
        fields = await self._fields(found, _EXTENDED_FIELDS_BYTES)
        names, extensions = struct.unpack_from("<HH", fields, 60)
        position = found.start + _EXTENDED_FIELDS_BYTES
        for head_bytes, length_bytes, count in ((4, 2, names), (22, 4, extensions)):
            for _ in range(count):
                if position + head_bytes > found.end:
                    raise ProbeRejected(RejectReason.CORRUPT, "names of a stream reach past it")
                head = await self._reader.read(position, head_bytes)
                position += head_bytes + int.from_bytes(head[-length_bytes:], "little")
        async for inner in asf.asf_objects(self._reader, position, found.end, most=1):
            if inner.id == asf.STREAM_PROPERTIES:
                await self._note_stream(inner)
            break

    async def _note_shape(self, found: AsfObject) -> None:
        if found.length > _MAX_METADATA_BYTES:
            return
        for attribute in asf.attributes_of(await self._reader.read(found.start, found.length)):
            if attribute.name in ("AspectRatioX", "AspectRatioY"):
                sides = self._film.shapes.setdefault(attribute.stream, {})
                sides[attribute.name] = int.from_bytes(attribute.value[:4], "little")

    async def _fields(self, found: AsfObject, length: int) -> bytes:
        if found.length < length:
            raise ProbeRejected(RejectReason.CORRUPT, "object too short")
        return await self._reader.read(found.start, length)
