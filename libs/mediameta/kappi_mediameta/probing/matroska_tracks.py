"""The video track of a Matroska file (RFC 9559, section 5.1.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kappi_mediameta.containers.ebml import parts, real, string, unsigned
from kappi_mediameta.probing.facts import Projection
from kappi_mediameta.probing.movie_tracks import square_width
from kappi_mediameta.probing.projections import projection_of_matroska

_TRACK_ENTRY, _TYPE, _CODEC, _DEFAULT, _VIDEO, _FRAME_DURATION = 0xAE, 0x83, 0x86, 0x88, 0xE0, 0x23E383
_WIDTH, _HEIGHT, _SHOWN_WIDTH, _SHOWN_HEIGHT, _UNIT = 0xB0, 0xBA, 0x54B0, 0x54BA, 0x54B2
_CUT_BOTTOM, _CUT_TOP, _CUT_LEFT, _CUT_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
_PROJECTION, _PROJECTION_KIND, _YAW, _PITCH, _ROLL = 0x7670, 0x7671, 0x7673, 0x7674, 0x7675
_VIDEO_TYPE: Final = 1
_UNKNOWN_UNIT: Final = 4
# By quarter turns counter-clockwise.
_ORIENTATIONS: Final = (1, 8, 3, 6)
_CODECS: Final = {
    "V_VP8": "vp8",
    "V_VP9": "vp9",
    "V_AV1": "av1",
    "V_MPEG4/ISO/AVC": "h264",
    "V_MPEGH/ISO/HEVC": "hevc",
    "V_MPEG4/ISO/SP": "mpeg4",
    "V_MPEG4/ISO/ASP": "mpeg4",
    "V_MPEG4/ISO/AP": "mpeg4",
    "V_MPEG1": "mpeg1",
    "V_MPEG2": "mpeg2",
    "V_MJPEG": "mjpeg",
    "V_PRORES": "prores",
    "V_THEORA": "theora",
    "V_FFV1": "ffv1",
    "V_MS/VFW/FOURCC": "vfw",
}


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """width, height: as decoded, without the cut-off edges. shape: of a pixel. orientation: EXIF 1..8."""

    codec: str
    width: int
    height: int
    shape: Fraction | None
    orientation: int
    frame_duration_ns: int | None
    default: bool
    projection: Projection | None

    @property
    def square_width(self) -> int:
        return square_width(self.width, self.shape)


def shown_track(tracks: bytes) -> VideoTrack | None:
    """Returns the video track that players show, by the body of `Tracks`, or None."""
    entries = (dict(parts(body)) for element_id, body in parts(tracks) if element_id == _TRACK_ENTRY)
    videos = [_track(entry) for entry in entries if unsigned(entry.get(_TYPE, b"")) == _VIDEO_TYPE]
    usable = [video for video in videos if video.width > 0 and video.height > 0]
    return next((video for video in usable if video.default), usable[0] if usable else None)


def _track(entry: dict[int, bytes]) -> VideoTrack:
    video = dict(parts(entry.get(_VIDEO, b"")))
    projection = dict(parts(video.get(_PROJECTION, b"")))
    width, height = unsigned(video.get(_WIDTH, b"")), unsigned(video.get(_HEIGHT, b""))
    width -= unsigned(video.get(_CUT_LEFT, b"")) + unsigned(video.get(_CUT_RIGHT, b""))
    height -= unsigned(video.get(_CUT_TOP, b"")) + unsigned(video.get(_CUT_BOTTOM, b""))
    return VideoTrack(
        codec=_CODECS.get(string(entry.get(_CODEC, b"")), "unknown"),
        width=width,
        height=height,
        shape=_shape(video, width, height),
        orientation=_orientation(projection),
        frame_duration_ns=unsigned(entry.get(_FRAME_DURATION, b"")) or None,
        default=unsigned(entry.get(_DEFAULT, b"\x01")) == 1,
        projection=projection_of_matroska(unsigned(projection.get(_PROJECTION_KIND, b""))),
    )


def _shape(video: dict[int, bytes], width: int, height: int) -> Fraction | None:
    """Returns the shape of a pixel. The unit does not matter, because both sides have the same."""
    shown_width = unsigned(video.get(_SHOWN_WIDTH, b"")) or width
    shown_height = unsigned(video.get(_SHOWN_HEIGHT, b"")) or height
    if unsigned(video.get(_UNIT, b"")) == _UNKNOWN_UNIT or min(width, height) < 1:
        return None
    return Fraction(shown_width * height, shown_height * width)


def _orientation(projection: dict[int, bytes]) -> int:
    """Returns the orientation by the roll of a flat projection, where it is whole quarter turns.

    A roll is in degrees counter-clockwise.
    """
    roll = real(projection.get(_ROLL, b""))
    turned_otherwise = real(projection.get(_YAW, b"")) or real(projection.get(_PITCH, b""))
    if unsigned(projection.get(_PROJECTION_KIND, b"")) or turned_otherwise or not math.isfinite(roll):
        return 1
    quarters = roll / 90
    return _ORIENTATIONS[round(quarters) % 4] if abs(quarters - round(quarters)) < 0.02 else 1
