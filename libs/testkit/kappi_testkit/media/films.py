"""Films with moving pictures and a tone, as encoders make them."""

from __future__ import annotations

import io
from array import array
from dataclasses import dataclass
from fractions import Fraction
from math import pi, sin
from typing import Any

import av
from av.video.reformatter import ColorRange
from PIL import Image

from kappi_testkit.media.samples import quadrants, scheduled_as_before

_RATE = 48_000
_TONE_HZ = 440


@dataclass(frozen=True, slots=True)
class FilmShape:
    """A film. sound: of its encoder; None for a film without. place: in the notation of ISO 6709."""

    codec: str = "libx265"
    container: str = "mp4"
    width: int = 320
    height: int = 180
    pixels: str = "yuv420p"
    seconds: int = 2
    frame_rate: int = 10
    sound: str | None = "aac"
    place: str | None = None
    key_every: int = 10
    colours: tuple[tuple[str, Any], ...] = ()


@scheduled_as_before()
def film(shape: FilmShape) -> bytes:
    """Returns a film whose pictures are the quadrants in odd seconds, with a tone, and dark in even ones."""
    out = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if shape.place else {}
    with av.open(out, "w", format=shape.container, container_options=options) as container:
        if shape.place:
            container.metadata["location"] = shape.place
        quiet = {"preset": "ultrafast", "x265-params": "log-level=none"} if shape.codec == "libx265" else {}
        stream = container.add_stream(shape.codec, rate=shape.frame_rate, options=quiet)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, shape.pixels
        stream.gop_size = shape.key_every
        for name, value in shape.colours:
            setattr(stream.codec_context, name, value)
        tone = None if shape.sound is None else container.add_stream(shape.sound, rate=_RATE, layout="stereo")
        lit, dark = (_frame(shape, dim=dim) for dim in (False, True))
        for number in range(shape.seconds * shape.frame_rate):
            frame = lit if number // shape.frame_rate % 2 else dark
            frame.pts, frame.time_base = number, Fraction(1, shape.frame_rate)
            container.mux(stream.encode(frame))
            if isinstance(tone, av.AudioStream):
                per_frame = _RATE // shape.frame_rate
                container.mux(tone.encode(_tone(number * per_frame, per_frame)))
        container.mux(stream.encode(None))
        if isinstance(tone, av.AudioStream):
            container.mux(tone.encode(None))
    return out.getvalue()


def interlaced_film(*, seconds: int = 1, frame_rate: int = 25, pixels: str = "yuv420p") -> bytes:
    """Returns a film of two fields a frame: a light bar moves on from field to field over the upper half, and
    the lower half has a still pattern of single lines.
    """
    out = io.BytesIO()
    width, height = 320, 240
    with av.open(out, "w", format="mp4") as container:
        options = {"flags": "+ilme+ildct", "top": "1"}
        stream = container.add_stream("mpeg4", rate=frame_rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, pixels, 20_000_000
        for number in range(seconds * frame_rate):
            picture = Image.new("L", (width, height), 60)
            for line in range(height // 2):
                left = (2 * number + line % 2) * 8 % (width - 60)
                picture.paste(220, (left, line, left + 60, line + 1))
            for line in range(height // 2, height, 4):
                picture.paste(220, (0, line, width, line + 2))
            frame = av.VideoFrame.from_image(picture.convert("RGB"))  # type: ignore[no-untyped-call] # its stub lacks types
            frame = frame.reformat(format=pixels, dst_color_range=ColorRange.MPEG)
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def _frame(shape: FilmShape, *, dim: bool) -> av.VideoFrame:
    picture = quadrants(shape.width, shape.height)
    if dim:
        picture = picture.point(lambda value: value // 8)
    frame: av.VideoFrame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call] # its stub lacks types
    matrix = dict(shape.colours).get("colorspace")
    return frame.reformat(format=shape.pixels, dst_colorspace=matrix, dst_color_range=ColorRange.MPEG)


def _tone(start: int, samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="fltp", layout="stereo", samples=samples)
    sounding = start // _RATE % 2
    wave = array("f", (0.3 * sounding * sin(2 * pi * _TONE_HZ * (start + n) / _RATE) for n in range(samples)))
    for plane in frame.planes:
        plane.update(wave.tobytes().ljust(plane.buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = _RATE, start, Fraction(1, _RATE)
    return frame
