"""MP4 and MOV: size, turn, shape, duration, codec and capture facts from the `moov` box alone.

Read by hand, not through FFmpeg: the display matrix is only told there after decoding a frame, its demuxer
loads every sample table (tens of megabytes for an hour of video), and this runs in microseconds without a
native parser in the process. Source: ISO/IEC 14496-12, Apple QuickTime File Format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from kappi_media.probing.boxes import Box, BoxReader
from kappi_media.probing.exif import plausible_instant
from kappi_media.probing.facts import PictureHeader, ProbeLimits
from kappi_media.probing.movie_tags import MAX_TAG_BYTES, capture_of, keyed_tags, user_data_tags
from kappi_media.probing.rejection import ProbeRejected, RejectReason
from kappi_media.probing.source import BlockReader

_EPOCH: Final = datetime(1904, 1, 1, tzinfo=UTC)
_CODECS: Final = {
    **dict.fromkeys(("avc1", "avc2", "avc3", "avc4"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "dvh1", "dvhe"), "hevc"),
    **dict.fromkeys(("apch", "apcn", "apcs", "apco", "ap4h", "ap4x"), "prores"),
    **dict.fromkeys(("jpeg", "mjpa", "mjpb"), "mjpeg"),
    "av01": "av1",
    "vp09": "vp9",
    "vp08": "vp8",
    "mp4v": "mpeg4",
    "s263": "h263",
    "h263": "h263",
}
_MAX_SHAPE: Final = 16  # pixels more oblong than 16:1 are a damaged box, not a format

Matrix = tuple[int, int, int, int]
_IDENTITY: Final[Matrix] = (1 << 16, 0, 0, 1 << 16)


@dataclass(frozen=True, slots=True)
class _Track:
    """One track as it fills up. shown_*: of the track header, square pixels; coded_*: of the sample entry."""

    matrix: Matrix = _IDENTITY
    shown_width: int = 0
    shown_height: int = 0
    duration_ms: int | None = None
    handler: bytes = b""
    codec: str = ""
    coded_width: int = 0
    coded_height: int = 0
    pixel_shape: Fraction | None = None

    def is_picture(self) -> bool:
        return self.handler == b"vide" and self.coded_width > 0 and self.coded_height > 0


@dataclass(frozen=True, slots=True)
class _Movie:
    matrix: Matrix = _IDENTITY
    duration_ms: int | None = None
    fragments_duration: int | None = None
    timescale: int = 0
    created_at: datetime | None = None
    tracks: tuple[_Track, ...] = ()


async def read_movie(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    boxes = BoxReader(reader, max_boxes=limits.max_parts)
    movie, tags = await _movie(boxes, await _find_movie(boxes))
    track = next((t for t in movie.tracks if t.is_picture()), None)
    if track is None:
        raise ProbeRejected(RejectReason.NO_PICTURE)
    width = _square_width(track)
    limits.check_size(width, track.coded_height, max_pixels=limits.max_video_pixels)
    duration_ms = _duration_ms(movie, track)
    if duration_ms is not None and timedelta(milliseconds=duration_ms) > limits.max_duration:
        raise ProbeRejected(RejectReason.TOO_LONG, f"{duration_ms} ms")
    orientation = orientation_of(_product(track.matrix, movie.matrix))
    return PictureHeader(
        stored_width=width,
        stored_height=track.coded_height,
        codec=track.codec,
        animated=True,
        duration_ms=duration_ms,
        capture=capture_of(tags, orientation=orientation, created_at=movie.created_at),
    )


def orientation_of(matrix: Matrix) -> int:
    """The EXIF orientation (1..8) nearest to a display matrix (a, b, c, d): x' = ax + cy, y' = bx + dy."""
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return {(False, False): 5, (False, True): 6, (True, True): 7, (True, False): 8}[b < 0, c < 0]


async def _find_movie(boxes: BoxReader) -> Box:
    """The `moov` box, once its `mdat` is known to be whole. Stops at the first pair of them."""
    movie: Box | None = None
    media = False
    async for box in boxes.children(0, boxes.size_bytes):
        if box.name == b"moov":
            movie = box
        media = media or box.name == b"mdat"
        if movie is not None and media:
            return movie
    if movie is None:
        raise ProbeRejected(RejectReason.TRUNCATED if media else RejectReason.CORRUPT, "no movie header")
    raise ProbeRejected(RejectReason.TRUNCATED, "no media data")


async def _movie(boxes: BoxReader, moov: Box) -> tuple[_Movie, dict[str, str]]:
    movie = _Movie()
    tags: dict[str, str] = {}
    async for box in boxes.children(moov.start, moov.end):
        if box.name == b"mvhd":
            movie = _with_header(movie, await boxes.versioned(box, short=100, long=112))
        elif box.name == b"trak":
            movie = replace(movie, tracks=(*movie.tracks, await _track(boxes, box)))
        elif box.name == b"mvex":
            movie = replace(movie, fragments_duration=await _fragments_duration(boxes, box))
        elif box.name == b"udta":
            tags |= user_data_tags(await boxes.body(box, at_most=MAX_TAG_BYTES))
        elif box.name == b"meta":
            tags |= keyed_tags(await boxes.body(box, at_most=MAX_TAG_BYTES))
        elif box.name == b"cmov":
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "compressed movie header")
    return movie, tags


def _with_header(movie: _Movie, body: bytes) -> _Movie:
    created, timescale, duration, after = _times(body)
    return replace(
        movie,
        matrix=_matrix(body, after + 16),
        duration_ms=_milliseconds(duration, timescale),
        timescale=timescale,
        created_at=_creation_time(created),
    )


def _times(body: bytes) -> tuple[int, int, int | None, int]:
    """Creation time, timescale, duration and the position after them, of an `mvhd` or `mdhd` body."""
    if body[0] == 1:
        created, _, timescale, duration = struct.unpack_from(">QQIQ", body, 4)
        return created, timescale, None if duration == 2**64 - 1 else duration, 32
    created, _, timescale, duration = struct.unpack_from(">IIII", body, 4)
    return created, timescale, None if duration == 2**32 - 1 else duration, 20


def _creation_time(seconds: int) -> datetime | None:
    if not 0 < seconds < 2**33:
        return None
    return plausible_instant(_EPOCH + timedelta(seconds=seconds))


async def _fragments_duration(boxes: BoxReader, mvex: Box) -> int | None:
    async for box in boxes.children(mvex.start, mvex.end):
        if box.name == b"mehd":
            body = await boxes.body(box, at_most=12)
            return int.from_bytes(body[4 : 12 if body[:1] == b"\x01" else 8], "big")
    return None


async def _track(boxes: BoxReader, trak: Box) -> _Track:
    track = _Track()
    async for box in boxes.children(trak.start, trak.end):
        if box.name == b"tkhd":
            body = await boxes.versioned(box, short=84, long=96)
            width, height = struct.unpack(">II", body[-8:])
            track = replace(
                track,
                matrix=_matrix(body, len(body) - 44),
                shown_width=width >> 16,
                shown_height=height >> 16,
            )
        elif box.name == b"mdia":
            track = await _media(boxes, box, track)
    return track


async def _media(boxes: BoxReader, mdia: Box, track: _Track) -> _Track:
    parts = {box.name: box async for box in boxes.children(mdia.start, mdia.end)}
    if not parts.keys() >= {b"mdhd", b"hdlr", b"minf"}:
        raise ProbeRejected(RejectReason.CORRUPT, "incomplete track")
    handler = (await boxes.fields(parts[b"hdlr"], 12))[8:12]
    if handler != b"vide":
        return track
    _, timescale, duration, _ = _times(await boxes.versioned(parts[b"mdhd"], short=24, long=36))
    track = replace(track, handler=handler, duration_ms=_milliseconds(duration, timescale))
    entry = await _sample_entry(boxes, parts[b"minf"])
    return track if entry is None else await _with_entry(boxes, entry, track)


async def _sample_entry(boxes: BoxReader, minf: Box) -> Box | None:
    """The first sample entry: minf / stbl / stsd / entry."""
    async for table in boxes.children(minf.start, minf.end):
        if table.name != b"stbl":
            continue
        async for box in boxes.children(table.start, table.end):
            if box.name == b"stsd":
                async for entry in boxes.children(box.start + 8, box.end):
                    return entry
    return None


async def _with_entry(boxes: BoxReader, entry: Box, track: _Track) -> _Track:
    fixed = await boxes.fields(entry, 78)
    width, height = struct.unpack_from(">HH", fixed, 24)
    name = entry.name.decode("latin-1").strip()
    track = replace(
        track,
        codec=_CODECS.get(name, name.lower() if name.isascii() and name.isalnum() else "unknown"),
        coded_width=width,
        coded_height=height,
    )
    async for box in boxes.children(entry.start + 78, entry.end):
        if box.name == b"pasp":
            horizontal, vertical = struct.unpack(">II", await boxes.fields(box, 8))
            if horizontal and vertical:
                return replace(track, pixel_shape=Fraction(horizontal, vertical))
    return track


def _matrix(body: bytes, at: int) -> Matrix:
    a, b, _, c, d = struct.unpack_from(">iiiii", body, at)
    return (a, b, c, d) if a * d != b * c else _IDENTITY


def _product(first: Matrix, second: Matrix) -> Matrix:
    """`first`, then `second` (row vectors). The scale is left as it comes, only signs and sizes matter."""
    a, b, c, d = first
    e, f, g, h = second
    return (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)


def _square_width(track: _Track) -> int:
    """Width once pixels are square: by `pasp`, else by the shape the track header asks for."""
    shape = track.pixel_shape
    if shape is None and track.shown_width and track.shown_height:
        shape = Fraction(track.shown_width * track.coded_height, track.shown_height * track.coded_width)
    if shape is None or not Fraction(1, _MAX_SHAPE) <= shape <= _MAX_SHAPE:
        return track.coded_width
    return max(1, round(track.coded_width * shape))


def _milliseconds(duration: int | None, timescale: int) -> int | None:
    if not duration or not timescale:
        return None
    return round(duration * 1000 / timescale)


def _duration_ms(movie: _Movie, track: _Track) -> int | None:
    fragments = _milliseconds(movie.fragments_duration, movie.timescale)
    return movie.duration_ms or fragments or track.duration_ms
