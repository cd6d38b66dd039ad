"""The tracks of an ISO base media file, by its `moov` box (ISO/IEC 14496-12, QuickTime).

Every level is walked by name and once, so a box inside itself leads to no loop.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.details import LENS_KEYS
from kappi_mediameta.probing.exif import plausible_instant
from kappi_mediameta.probing.facts import Projection
from kappi_mediameta.probing.matrix import IDENTITY, Matrix
from kappi_mediameta.probing.movie_tags import MAX_TAG_BYTES, keyed_tags, user_data_tags
from kappi_mediameta.probing.projections import (
    MAX_SPHERICAL_BYTES,
    SPHERICAL_UUID,
    projection_of_box,
    projection_of_xml,
)
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

_EPOCH: Final = datetime(1904, 1, 1, tzinfo=UTC)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
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
_MAX_AUXILIARY_BYTES: Final = 256
_MAX_SHAPE: Final = 16  # a pixel longer than 16:1 shows a damaged box

# `pict`: the frames of an image sequence. `auxv`: data that belong to each frame, such as opacity.
_PICTURE_HANDLERS: Final = frozenset({b"vide", b"pict"})
_AUXILIARY_HANDLER: Final = b"auxv"
_OPACITY: Final = frozenset(
    {"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:avc:2015:auxid:1"}
)


@dataclass(frozen=True, slots=True)
class Track:
    """One track, filled in steps. shown_*: of the track header, square pixels. coded_*: of the sample entry.

    timescale: units per second of its times. sample_count: 0 where the samples are in fragments.
    is_opacity: of the picture's track. tags: those of its own metadata.
    """

    id: int = 0
    enabled: bool = True
    matrix: Matrix = IDENTITY
    shown_width: int = 0
    shown_height: int = 0
    duration_ms: int | None = None
    handler: bytes = b""
    codec: str = ""
    coded_width: int = 0
    coded_height: int = 0
    pixel_shape: Fraction | None = None
    timescale: int = 0
    sample_count: int = 0
    is_opacity: bool = False
    premultiplied: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    projection: Projection | None = None

    @property
    def is_picture(self) -> bool:
        return self.handler in _PICTURE_HANDLERS and self.coded_width > 0 and self.coded_height > 0

    @property
    def square_width(self) -> int:
        """Returns the width with square pixels: by `pasp`, else by the shape in the track header."""
        shape = self.pixel_shape
        if shape is None and self.shown_width and self.shown_height:
            shape = Fraction(self.shown_width * self.coded_height, self.shown_height * self.coded_width)
        return square_width(self.coded_width, shape)


@dataclass(frozen=True, slots=True)
class Movie:
    """fragmented: more samples follow in fragments. default_durations: by track, of samples in fragments that
    have no duration of their own."""

    matrix: Matrix = IDENTITY
    duration_ms: int | None = None
    fragmented: bool = False
    fragments_duration: int | None = None
    default_durations: Mapping[int, int] = field(default_factory=dict)
    timescale: int = 0
    created_at: datetime | None = None
    tracks: tuple[Track, ...] = ()

    @property
    def picture(self) -> Track | None:
        """Returns the track that is shown: the first enabled picture track, else the first."""
        pictures = [track for track in self.tracks if track.is_picture]
        return next((track for track in pictures if track.enabled), pictures[0] if pictures else None)

    @property
    def opacity(self) -> Track | None:
        return next((track for track in self.tracks if track.is_opacity), None)


async def read_moov(boxes: BoxReader, moov: Box) -> tuple[Movie, dict[str, str]]:
    """Returns the movie and its tags by name. Raises ProbeRejected."""
    movie = Movie()
    tags: dict[str, str] = {}
    async for box in boxes.children(moov.start, moov.end):
        if box.name == b"mvhd":
            movie = _with_header(movie, await boxes.versioned(box, short=100, long=112))
        elif box.name == b"trak":
            movie = replace(movie, tracks=(*movie.tracks, await _track(boxes, box)))
        elif box.name == b"mvex":
            movie = await _with_fragments(boxes, box, movie)
        elif box.name == b"udta":
            tags |= user_data_tags(await boxes.body(box, at_most=MAX_TAG_BYTES))
        elif box.name == b"meta":
            tags |= keyed_tags(await boxes.body(box, at_most=MAX_TAG_BYTES))
        elif box.name == b"cmov":
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "compressed movie header")
    of_track = movie.picture.tags if movie.picture is not None else {}
    return movie, {**{key: of_track[key] for key in LENS_KEYS if key in of_track}, **tags}


def _with_header(movie: Movie, body: bytes) -> Movie:
    created, timescale, duration, after = _times(body)
    return replace(
        movie,
        matrix=_matrix(body, after + 16),
        duration_ms=milliseconds(duration, timescale),
        timescale=timescale,
        created_at=_creation_time(created),
    )


def _times(body: bytes) -> tuple[int, int, int | None, int]:
    """Returns creation time, timescale, duration and the position behind them, of `mvhd` or `mdhd`."""
    if body[0] == 1:
        created, _, timescale, duration = struct.unpack_from(">QQIQ", body, 4)
        return created, timescale, None if duration == 2**64 - 1 else duration, 32
    created, _, timescale, duration = struct.unpack_from(">IIII", body, 4)
    return created, timescale, None if duration == 2**32 - 1 else duration, 20


def _creation_time(seconds: int) -> datetime | None:
    if not 0 < seconds < 2**33:
        return None
    instant = _EPOCH + timedelta(seconds=seconds)
    if instant < _UNIX_EPOCH:  # no film is so old: some devices count from 1970, and ExifTool reads it so
        instant = _UNIX_EPOCH + timedelta(seconds=seconds)
    return plausible_instant(instant)


async def _with_fragments(boxes: BoxReader, mvex: Box, movie: Movie) -> Movie:
    duration: int | None = None
    defaults: dict[int, int] = {}
    async for box in boxes.children(mvex.start, mvex.end):
        if box.name == b"mehd":
            body = await boxes.body(box, at_most=12)
            duration = int.from_bytes(body[4 : 12 if body[:1] == b"\x01" else 8], "big")
        elif box.name == b"trex":
            track_id, _, sample_duration = struct.unpack_from(">III", await boxes.fields(box, 16), 4)
            defaults[track_id] = sample_duration
    return replace(movie, fragmented=True, fragments_duration=duration, default_durations=defaults)


async def _track(boxes: BoxReader, trak: Box) -> Track:
    track = Track()
    async for box in boxes.children(trak.start, trak.end):
        if box.name == b"tkhd":
            body = await boxes.versioned(box, short=84, long=96)
            width, height = struct.unpack(">II", body[-8:])
            track = replace(
                track,
                id=int.from_bytes(body[20:24] if body[0] == 1 else body[12:16], "big"),
                enabled=bool(body[3] & 1),
                matrix=_matrix(body, len(body) - 44),
                shown_width=width >> 16,
                shown_height=height >> 16,
            )
        elif box.name == b"tref":
            async for reference in boxes.children(box.start, box.end):
                track = replace(track, premultiplied=track.premultiplied or reference.name == b"prem")
        elif box.name == b"mdia":
            track = await _media(boxes, box, track)
        elif box.name == b"meta":  # iPhones describe their lens here
            track = replace(track, tags=keyed_tags(await boxes.body(box, at_most=MAX_TAG_BYTES)))
        elif box.name == b"uuid":
            track = replace(track, projection=track.projection or await _spherical(boxes, box))
    return track


async def _spherical(boxes: BoxReader, box: Box) -> Projection | None:
    body = await boxes.body(box, at_most=MAX_SPHERICAL_BYTES)
    return projection_of_xml(body[16:]) if body.startswith(SPHERICAL_UUID) else None


async def _media(boxes: BoxReader, mdia: Box, track: Track) -> Track:
    parts = {box.name: box async for box in boxes.children(mdia.start, mdia.end)}
    if not parts.keys() >= {b"mdhd", b"hdlr", b"minf"}:
        raise ProbeRejected(RejectReason.CORRUPT, "incomplete track")
    handler = (await boxes.fields(parts[b"hdlr"], 12))[8:12]
    if handler not in _PICTURE_HANDLERS and handler != _AUXILIARY_HANDLER:
        return track
    _, timescale, duration, _ = _times(await boxes.versioned(parts[b"mdhd"], short=24, long=36))
    track = replace(
        track, handler=handler, timescale=timescale, duration_ms=milliseconds(duration, timescale)
    )
    async for table in boxes.children(parts[b"minf"].start, parts[b"minf"].end):
        if table.name == b"stbl":
            return await _with_samples(boxes, table, track)
    return track


async def _with_samples(boxes: BoxReader, stbl: Box, track: Track) -> Track:
    async for box in boxes.children(stbl.start, stbl.end):
        if box.name == b"stsd":
            async for entry in boxes.children(box.start + 8, box.end):
                track = await _with_entry(boxes, entry, track)
                break
        elif box.name in (b"stsz", b"stz2"):
            (count,) = struct.unpack_from(">I", await boxes.fields(box, 12), 8)
            track = replace(track, sample_count=count)
    return track


async def _with_entry(boxes: BoxReader, entry: Box, track: Track) -> Track:
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
        if box.name == b"pasp" and track.pixel_shape is None:
            horizontal, vertical = struct.unpack(">II", await boxes.fields(box, 8))
            if horizontal and vertical:
                track = replace(track, pixel_shape=Fraction(horizontal, vertical))
        elif box.name == b"sv3d":
            track = replace(track, projection=await projection_of_box(boxes, box))
        elif box.name == b"auxi" and track.handler == _AUXILIARY_HANDLER:
            kind = (await boxes.body(box, at_most=_MAX_AUXILIARY_BYTES))[4:].split(b"\x00", 1)[0]
            track = replace(track, is_opacity=kind.decode("latin-1") in _OPACITY)
    return track


def _matrix(body: bytes, at: int) -> Matrix:
    a, b, _, c, d = struct.unpack_from(">iiiii", body, at)
    return (a, b, c, d) if a * d != b * c else IDENTITY


def square_width(coded_width: int, shape: Fraction | None) -> int:
    """Returns the width with square pixels. shape: width of a pixel by its height."""
    if shape is None or not Fraction(1, _MAX_SHAPE) <= shape <= _MAX_SHAPE:
        return coded_width
    return max(1, round(coded_width * shape))


def milliseconds(duration: int | None, timescale: int) -> int | None:
    if not duration or not timescale:
        return None
    return round(duration * 1000 / timescale)
