"""Header of AVI: size, shape, duration, codec and time, by its header list (Microsoft AVI RIFF File
Reference, OpenDML AVI File Format Extensions 1.02).

A file is walked by names of chunks, three levels deep. Media are neither read nor walked.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC
from fractions import Fraction
from typing import Final

from kappi_mediameta.containers.chunks import RIFF_START, Chunk, riff_chunks, riff_end
from kappi_mediameta.probing.exif import NO_EXIF, facts_of, offset_minutes, plausible_instant
from kappi_mediameta.probing.facts import CaptureFacts, PictureHeader, ProbeLimits
from kappi_mediameta.probing.fourcc import BITMAP_HEADER_BYTES, bitmap_of, codec_of
from kappi_mediameta.probing.movie_tracks import square_width
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.written import decoded, month_first_time, written_time
from kappi_mediameta.probing.xmp import MAX_XMP_BYTES, read_xmp

LIST: Final = b"LIST"
NAMED_START: Final = 4
"""Position of the first chunk within a list, behind the list's own name."""
_VIDEO, _DIGITAL_TAPE = b"vids", b"iavs"
_MAIN_HEADER_BYTES, _STREAM_HEADER_BYTES, _SHAPE_BYTES, _INDEX_BYTES, _INDEX_ENTRY_BYTES = 40, 36, 32, 24, 16
_MAX_TEXT_BYTES: Final = 64
_MAX_ENTRIES: Final = 4_096
"""The limit of index entries read, which stand for a gigabyte each."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """One stream. handler: of its data. frame_seconds: of one unit of its `length`. media_end: by its
    index."""

    handler: bytes = b""
    letters: bytes = b""
    frame_seconds: Fraction = Fraction(0)
    length: int = 0
    width: int = 0
    height: int = 0
    codec: str = ""
    shape: Fraction | None = None
    media_end: int = 0


@dataclass(slots=True)
class _Film:
    """frames: of all parts of the file, where the header has it. has_media: there is a list of media."""

    frame_microseconds: int = 0
    first_frames: int = 0
    frames: int = 0
    streams: list[_Stream] = field(default_factory=list)
    has_header: bool = False
    has_media: bool = False
    date: str = ""
    created: str = ""
    xmp: bytes = b""

    @property
    def picture(self) -> _Stream | None:
        return next((stream for stream in self.streams if stream.handler == _VIDEO), None)


async def read_avi(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    walker = _Walker(reader, max_chunks=limits.max_parts)
    film = await walker.read()
    stream = film.picture
    if not film.has_header:
        raise ProbeRejected(RejectReason.CORRUPT, "no header list")
    if stream is None:
        if any(other.handler == _DIGITAL_TAPE for other in film.streams):
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "picture and sound in one stream")
        raise ProbeRejected(RejectReason.NO_PICTURE)
    if not film.has_media:
        raise ProbeRejected(RejectReason.TRUNCATED, "no media data")
    if stream.media_end > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "media that the index names are missing")
    width = square_width(stream.width, stream.shape)
    limits.check_size(width, stream.height, max_pixels=limits.max_video_pixels)
    duration_ms = _duration_ms(film, stream)
    limits.check_duration(duration_ms)
    return PictureHeader(
        stored_width=width,
        stored_height=stream.height,
        codec=stream.codec,
        animated=True,
        duration_ms=duration_ms,
        capture=_capture(film),
    )


def _duration_ms(film: _Film, stream: _Stream) -> int | None:
    frames = max(stream.length, film.frames)
    if frames and stream.frame_seconds:
        return round(frames * stream.frame_seconds * 1000) or None
    return round(film.first_frames * film.frame_microseconds / 1000) or None


def _capture(film: _Film) -> CaptureFacts:
    """Returns the time that the camera wrote, mostly without a zone, else that of XMP."""
    facts = facts_of(NO_EXIF, read_xmp([film.xmp] if film.xmp else []))
    for text in (film.date, film.created):
        time = month_first_time(text) or written_time(text)
        if time is None:
            continue
        instant = plausible_instant(time.local.replace(tzinfo=time.zone or UTC))
        if instant is not None:
            return replace(
                facts,
                taken_at=instant,
                taken_offset_known=time.zone is not None,
                taken_offset_minutes=offset_minutes(time.zone),
            )
    return facts


class _Walker:
    """Reads and counts the chunks of one file."""

    def __init__(self, reader: BlockReader, *, max_chunks: int) -> None:
        self._reader = reader
        self._left = max_chunks
        self._film = _Film()

    async def read(self) -> _Film:
        """Returns the facts of the first part, which has those of the whole file."""
        film, size = self._film, self._reader.size_bytes
        # A recording that was not finished has no size.
        told = await riff_end(self._reader)
        end = told if RIFF_START < told <= size else size
        async for chunk in self._chunks(RIFF_START, end):
            name = await self._list_name(chunk)
            if name == b"movi":
                film.has_media = True
                if chunk.length and chunk.end > size:
                    raise ProbeRejected(RejectReason.TRUNCATED, "shorter than its list of media says")
                if not chunk.length:
                    break
            elif name == b"hdrl" and not film.has_header:
                film.has_header = True
                await self._header(chunk)
            elif name == b"INFO":
                await self._texts(chunk)
            elif chunk.name == b"_PMX" and chunk.length <= MAX_XMP_BYTES:
                film.xmp = await self._reader.read(chunk.start, chunk.length)
        return film

    async def _chunks(self, start: int, end: int) -> AsyncIterator[Chunk]:
        async for chunk in riff_chunks(self._reader, start, end, most=self._left):
            self._left -= 1
            if self._left < 1:
                raise self._reader.too_many("chunks")
            yield chunk

    async def _list_name(self, chunk: Chunk) -> bytes:
        """Returns the name of a list, also of one without a size, or nothing."""
        if chunk.name != LIST or 0 < chunk.length < NAMED_START:
            return b""
        return await self._reader.read_upto(chunk.start, NAMED_START)

    async def _inside(self, parent: Chunk) -> AsyncIterator[Chunk]:
        """Yields the chunks of a list. Raises ProbeRejected where one does not fit."""
        async for chunk in self._chunks(parent.start + NAMED_START, parent.end):
            if chunk.end > parent.end:
                raise ProbeRejected(RejectReason.CORRUPT, "chunk reaches past its list")
            yield chunk

    async def _header(self, hdrl: Chunk) -> None:
        film = self._film
        async for chunk in self._inside(hdrl):
            name = await self._list_name(chunk)
            if chunk.name == b"avih":
                body = await self._fields(chunk, _MAIN_HEADER_BYTES)
                film.frame_microseconds, film.first_frames = struct.unpack_from("<I12xI", body)
            elif name == b"strl":
                film.streams.append(await self._stream(chunk))
            elif name == b"odml":
                async for inner in self._inside(chunk):
                    if inner.name == b"dmlh":
                        film.frames = int.from_bytes(await self._fields(inner, 4), "little")
            elif chunk.name == b"IDIT":
                film.date = await self._text(chunk)

    async def _stream(self, strl: Chunk) -> _Stream:
        stream = _Stream()
        async for chunk in self._inside(strl):
            if chunk.name == b"strh":
                body = await self._fields(chunk, _STREAM_HEADER_BYTES)
                scale, rate, _, length = struct.unpack_from("<IIII", body, 20)
                seconds = Fraction(scale, rate) if rate else Fraction(0)
                stream = replace(
                    stream, handler=body[:4], letters=body[4:8], frame_seconds=seconds, length=length
                )
            elif chunk.name == b"strf" and stream.handler == _VIDEO:
                stream = _with_bitmap(stream, await self._fields(chunk, BITMAP_HEADER_BYTES))
            elif chunk.name == b"vprp" and chunk.length > _SHAPE_BYTES:
                stream = replace(stream, shape=_shape(await self._fields(chunk, _SHAPE_BYTES)))
            elif chunk.name == b"indx" and chunk.length >= _INDEX_BYTES:
                stream = replace(stream, media_end=await self._media_end(chunk))
        return stream

    async def _media_end(self, indx: Chunk) -> int:
        """Returns the end of the last index of media that an index of indices names."""
        head = await self._fields(indx, _INDEX_BYTES)
        _, kind, count = struct.unpack_from("<HxBI", head)
        if kind:
            return 0
        count = min(count, _MAX_ENTRIES, (indx.length - _INDEX_BYTES) // _INDEX_ENTRY_BYTES)
        entries = await self._reader.read(indx.start + _INDEX_BYTES, count * _INDEX_ENTRY_BYTES)
        return max((at + size for at, size, _ in struct.iter_unpack("<QII", entries)), default=0)

    async def _texts(self, info: Chunk) -> None:
        async for chunk in self._inside(info):
            if chunk.name == b"ICRD":
                self._film.created = await self._text(chunk)

    async def _text(self, chunk: Chunk) -> str:
        body = await self._reader.read(chunk.start, min(chunk.length, _MAX_TEXT_BYTES))
        return decoded(body.split(b"\0", 1)[0]).strip()

    async def _fields(self, chunk: Chunk, length: int) -> bytes:
        if chunk.length < length:
            raise ProbeRejected(RejectReason.CORRUPT, "chunk too short")
        return await self._reader.read(chunk.start, length)


def _with_bitmap(stream: _Stream, header: bytes) -> _Stream:
    """Returns the stream with the size of its bitmap. Some writers name the codec in its header only."""
    bitmap = bitmap_of(header)
    named = codec_of(stream.letters) if stream.letters.strip(b" \0") else bitmap.codec
    codec = named if bitmap.codec in ("rawvideo", "unknown") else bitmap.codec
    return replace(stream, width=bitmap.width, height=bitmap.height, codec=codec)


def _shape(properties: bytes) -> Fraction | None:
    """Returns the shape of a pixel, by the shape and the size of the whole picture."""
    down, across, width, height = struct.unpack_from("<HHII", properties, 20)
    if not (down and across and width and height):
        return None
    return Fraction(across * height, down * width)
