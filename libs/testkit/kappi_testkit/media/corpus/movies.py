"""Videos as the encoders and muxers of FFmpeg and PyAV write them, with metadata by ExifTool.

`MOVIES` maps a file's name to its maker; the stem names what is special about it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

from kappi_testkit.media.camcorder import PARIS, with_date, with_user_data
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.corpus.pictures import LIVE_ID, Make
from kappi_testkit.media.samples import MovieShape, movie

_FAST_X264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_FAST_X265: Final = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
_FAST_AV1: Final = ("-c:v", "libsvtav1", "-preset", "12")
_FAST_VP9: Final = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
_MPEG4: Final = ("-c:v", "mpeg4", "-pix_fmt", "yuv420p")
_MPEG2: Final = ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p")
_MJPEG: Final = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
_AVCHD: Final = ("-f", "mpegts", "-mpegts_m2ts_mode", "1")
_BT709: Final = "scale=out_color_matrix=bt709"
# WMA has frames of 32 milliseconds at this rate, less than a frame of the picture.
_WMA: Final = ("-c:a", "wmav2", "-ar", "16000")
_DATED: Final = ("-metadata", "creation_time=2024-07-05T10:11:12Z")
_EIFFEL: Final = "+48.8584+002.2945+035.000/"
_IPHONE: Final = (
    "-overwrite_original",
    "-api",
    "QuickTimeUTC=1",
    "-QuickTime:CreateDate=2024:07:05 10:11:12Z",
    "-Keys:CreationDate=2024:07:05 12:11:12+02:00",
    "-Keys:GPSCoordinates=48.8584, 2.2945, 35",
    "-Keys:Make=Apple",
    "-Keys:Model=iPhone 15 Pro",
)


def _film(*arguments: str, size: str = "160x90", seconds: float = 1.2, sound: bool = False) -> Make:
    """Returns the maker of a moving test picture, 25 frames a second; with a tone if wanted."""

    def make(path: Path) -> None:
        picture = ("-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration={seconds}")
        tone = ("-f", "lavfi", "-i", f"sine=duration={seconds}") if sound else ()
        run("ffmpeg", "-y", "-v", "error", *picture, *tone, *arguments, path)

    return make


def _shape(**shape: object) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(movie(MovieShape(seconds=1.0, **shape)))  # type: ignore[arg-type]

    return make


def _then_exiftool(make: Make, *arguments: str) -> Make:
    def tag(path: Path) -> None:
        make(path)
        run("exiftool", *arguments, path)

    return tag


def _trimmed(path: Path) -> None:
    """Cuts without a new encoding: the first frames stay in the file, and an edit list hides them."""
    whole = path.with_suffix(".whole.mp4")
    _film(*_FAST_X264, "-g", "50", seconds=2.4)(whole)
    run("ffmpeg", "-y", "-v", "error", "-ss", "0.6", "-i", whole, "-c", "copy", path)
    whole.unlink()


def _slow_motion(path: Path) -> None:
    _film(*_FAST_X264, "-r", "100", "-video_track_timescale", "600")(path)


def _clock_of_1970(path: Path) -> None:
    """Makes the movie header count from the Unix epoch, as some devices do."""
    _film(*_FAST_X264)(path)
    body = bytearray(path.read_bytes())
    created_s = int(datetime(2024, 7, 5, 10, 11, 12, tzinfo=UTC).timestamp())
    struct.pack_into(">I", body, body.index(b"mvhd") + 8, created_s)
    path.write_bytes(body)


def _camera_of_2003(path: Path) -> None:
    _film(*_MJPEG, "-c:a", "pcm_u8", size="320x240", sound=True)(path)
    path.write_bytes(with_date(path.read_bytes(), b"Mon Mar 10 15:04:43 2003\n\0"))


def camcorder(path: Path) -> None:
    """Makes a film of a camcorder: time, zone, place and maker are in its pictures."""
    coded = path.with_suffix(".h264")
    colour = ("-vf", f"setsar=4/3,{_BT709}", "-colorspace", "bt709")
    _film(*_FAST_X264, "-flags", "+ildct+ilme", *colour, size="1440x1080")(coded)
    coded.write_bytes(with_user_data(coded.read_bytes(), PARIS))
    run("ffmpeg", "-y", "-v", "error", "-r", "25", "-i", coded, "-c", "copy", *_AVCHD, path)
    coded.unlink()


_FRAGMENTS: Final = "frag_keyframe+empty_moov+default_base_moof"

MOVIES: Final[Mapping[str, Make]] = {
    "x264-index-last.mp4": _film(*_FAST_X264, "-c:a", "aac", sound=True),
    "x264-index-first.mp4": _film(*_FAST_X264, "-movflags", "faststart"),
    "x265.mp4": _film(*_FAST_X265, "-tag:v", "hvc1"),
    "av1.mp4": _film(*_FAST_AV1),
    "vp9.mp4": _film(*_FAST_VP9),
    **{f"turned-{n}.mp4": _shape(rotation=n) for n in (90, 180, -90)},
    "mirrored.mp4": _shape(mirrored=True),
    "anamorphic.mp4": _film(*_FAST_X264, "-vf", "setsar=64/45", size="720x576"),
    "tall-pixels.mp4": _film(*_FAST_X264, "-vf", "setsar=2/3"),
    "anamorphic-turned.mp4": _shape(width=320, height=240, pixel_shape=Fraction(4, 3), rotation=-90),
    "fragments.mp4": _film(*_FAST_X264, "-g", "10", "-movflags", _FRAGMENTS),
    "fragments-without-index.mp4": _film(*_FAST_X264, "-g", "10", "-movflags", _FRAGMENTS + "+skip_trailer"),
    "segments.mp4": _film(*_FAST_X264, "-g", "10", "-movflags", "dash+global_sidx"),
    "trimmed.mp4": _trimmed,
    "slow-motion.mp4": _slow_motion,
    "clock-of-1970.mp4": _clock_of_1970,
    "android.mp4": _film(
        *_FAST_X264,
        "-metadata",
        f"location={_EIFFEL}",
        "-metadata",
        "creation_time=2024-07-05T10:11:12Z",
        "-c:a",
        "aac",
        sound=True,
    ),
    "sound-first.mp4": _film(*_FAST_X264, "-map", "1", "-map", "0", "-c:a", "aac", sound=True),
    "iphone.mov": _then_exiftool(_film(*_FAST_X265, "-tag:v", "hvc1"), *_IPHONE),
    "live.mov": _then_exiftool(
        _film(
            *_FAST_X264,
            "-movflags",
            "use_metadata_tags",
            "-metadata",
            f"com.apple.quicktime.content.identifier={LIVE_ID}",
        ),
        *_IPHONE,
    ),
    "prores.mov": _film("-c:v", "prores", "-pix_fmt", "yuv422p10"),
    "mjpeg.mov": _film(*_MJPEG),
    "turned.mov": _shape(rotation=90, container="mov"),
    "plain.m4v": _film(*_FAST_X264),
    "anamorphic.m4v": _film(*_FAST_X264, "-vf", "setsar=16/11", size="352x288"),
    "mpeg4.3gp": _film(*_MPEG4, "-metadata", f"location={_EIFFEL}", size="176x144"),
    "h263.3gp": _film("-c:v", "h263", size="176x144"),
    "x264.3g2": _film(*_FAST_X264, "-f", "3g2", size="176x144"),
    "vp8.webm": _film("-c:v", "libvpx", "-deadline", "realtime"),
    "vp9-sound.webm": _film(*_FAST_VP9, "-c:a", "libopus", sound=True),
    "av1.webm": _film(*_FAST_AV1),
    "recorded.webm": _film("-c:v", "libvpx", "-deadline", "realtime", "-live", "1"),
    "x264.mkv": _film(*_FAST_X264),
    "x265-sound.mkv": _film(*_FAST_X265, "-c:a", "libvorbis", sound=True),
    "mpeg4.mkv": _film(*_MPEG4),
    "ffv1.mkv": _film("-c:v", "ffv1"),
    "anamorphic.mkv": _film(*_FAST_X264, "-vf", "setsar=64/45", size="720x576"),
    "cues-first.mkv": _film(*_FAST_X264, "-cues_to_front", "1", "-reserve_index_space", "4096"),
    "dated.mkv": _film(*_FAST_X264, *_DATED),
    "camera-of-2003.avi": _camera_of_2003,
    "mpeg4.avi": _film(*_MPEG4, "-vtag", "XVID", "-c:a", "mp3", sound=True),
    "x264.avi": _film(*_FAST_X264),
    "msmpeg4.avi": _film("-c:v", "msmpeg4"),
    "cinepak.avi": _film("-c:v", "cinepak", size="160x88"),
    "plain.avi": _film("-c:v", "rawvideo", "-pix_fmt", "bgr24", size="128x72"),
    "anamorphic.avi": _film(*_MPEG4, "-vf", "setsar=16/11", size="352x288"),
    "x264.ts": _film(*_FAST_X264, "-c:a", "aac", sound=True),
    "x264-reordered.ts": _film("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3"),
    "x265.ts": _film(*_FAST_X265),
    "anamorphic-x265.ts": _film(*_FAST_X265, "-vf", "setsar=64/45", size="720x576"),
    "mpeg2.ts": _film(*_MPEG2, "-c:a", "mp2", sound=True),
    "anamorphic.ts": _film(*_MPEG2, "-vf", "setsar=64/45", size="720x576"),
    "x264.m2ts": _film(*_FAST_X264, "-c:a", "ac3", *_AVCHD, sound=True),
    "camcorder.mts": camcorder,
    "wmv2.wmv": _film("-c:v", "wmv2", *_WMA, *_DATED, sound=True),
    "wmv1.wmv": _film("-c:v", "wmv1", *_DATED),
    "anamorphic.wmv": _film("-c:v", "wmv2", "-vf", "setsar=4/3", *_DATED),
    "msmpeg4.asf": _film("-c:v", "msmpeg4", *_DATED),
}
