"""Small files of every form that the probe and the renderer must read correctly, with known facts.

The subject is always the same upright picture of four coloured quadrants, so a wrong rotation or mirroring
shows in its corners. Needs Pillow and PyAV.
"""

from __future__ import annotations

import io
import os
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import av
from PIL import Image, PngImagePlugin

Colour = tuple[int, int, int]

RED: Final[Colour] = (210, 40, 40)
GREEN: Final[Colour] = (40, 170, 60)
BLUE: Final[Colour] = (40, 70, 200)
YELLOW: Final[Colour] = (220, 200, 50)
QUADRANTS: Final = (RED, GREEN, BLUE, YELLOW)  # top left, top right, bottom left, bottom right

# The operation that turns an upright picture into the pixels a camera stores under each EXIF orientation.
_AS_STORED: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_MAKE, _MODEL, _ORIENTATION, _EXIF_IFD, _GPS_IFD = 0x010F, 0x0110, 0x0112, 0x8769, 0x8825
_DATE_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL = 0x9003, 0x9011


@dataclass(frozen=True, slots=True)
class Shot:
    """The metadata of a camera. taken: `YYYY:MM:DD HH:MM:SS`, local. place: degrees, metres."""

    orientation: int = 1
    make: str | None = None
    model: str | None = None
    taken: str | None = None
    offset: str | None = None
    place: tuple[float, float, float] | None = None

    def exif(self) -> bytes:
        """Returns the EXIF block with its `Exif\0\0` prefix."""
        exif = Image.Exif()
        exif[_ORIENTATION] = self.orientation
        if self.make:
            exif[_MAKE] = self.make
        if self.model:
            exif[_MODEL] = self.model
        if self.taken:
            exif.get_ifd(_EXIF_IFD)[_DATE_TIME_ORIGINAL] = self.taken
        if self.offset:
            exif.get_ifd(_EXIF_IFD)[_OFFSET_TIME_ORIGINAL] = self.offset
        if self.place:
            latitude, longitude, altitude = self.place
            exif.get_ifd(_GPS_IFD).update(
                {
                    1: "N" if latitude >= 0 else "S",
                    2: _sexagesimal(abs(latitude)),
                    3: "E" if longitude >= 0 else "W",
                    4: _sexagesimal(abs(longitude)),
                    5: b"\x00" if altitude >= 0 else b"\x01",
                    6: abs(altitude),
                }
            )
        return exif.tobytes()


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    minutes = degrees % 1 * 60
    return float(int(degrees)), float(int(minutes)), round(minutes % 1 * 60, 3)


def quadrants(width: int, height: int) -> Image.Image:
    """Returns the upright picture: red, green above blue, yellow."""
    picture = Image.new("RGB", (width, height))
    half_width, half_height = width // 2, height // 2
    for number, colour in enumerate(QUADRANTS):
        left, top = number % 2 * half_width, number // 2 * half_height
        picture.paste(colour, (left, top, width if left else half_width, height if top else half_height))
    return picture


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """Returns the pixels a camera would store for `upright` under an EXIF orientation."""
    transpose = _AS_STORED.get(orientation)
    return upright if transpose is None else upright.transpose(transpose)


def encode(
    picture: Image.Image,
    fmt: str,
    *,
    shot: Shot | None = None,
    options: Mapping[str, object] = MappingProxyType({}),
) -> bytes:
    """Returns the picture encoded by Pillow with its `options`; `shot` rotates the pixels and adds EXIF."""
    out = io.BytesIO()
    if shot is None:
        picture.save(out, fmt, **options)
    else:
        stored(picture, shot.orientation).save(out, fmt, exif=shot.exif(), **options)
    return out.getvalue()


def register_heif() -> None:
    """Lets Pillow write HEIC, by pillow-heif. May be called repeatedly."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def animation(fmt: Literal["GIF", "WEBP", "PNG", "AVIF"], width: int, height: int) -> bytes:
    """Returns three frames: the quadrants, then white, then black."""
    out = io.BytesIO()
    more = [Image.new("RGB", (width, height), shade) for shade in ("white", "black")]
    quadrants(width, height).save(out, fmt, save_all=True, append_images=more, duration=80, loop=0)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """Returns a PNG with these dimensions in its header and hardly any pixels: a decompression bomb."""
    out = io.BytesIO()
    PngImagePlugin.putchunk(
        out, b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    )
    PngImagePlugin.putchunk(out, b"IDAT", b"\x78\x9c\x63\x00\x00\x00\x01\x00\x01")
    PngImagePlugin.putchunk(out, b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + out.getvalue()


@dataclass(frozen=True, slots=True)
class MovieShape:
    """The form of a movie.

    width, height: as coded. rotation: degrees counter-clockwise, as in the display matrix. dark_seconds: time
    of black before the quadrants. pixel_shape: sample aspect ratio.
    """

    width: int = 320
    height: int = 180
    seconds: float = 2.0
    dark_seconds: float = 0.0
    rotation: int = 0
    mirrored: bool = False
    pixel_shape: Fraction = Fraction(1)
    container: Literal["mp4", "mov"] = "mp4"
    faststart: bool = False
    fragmented: bool = False
    codec: str = "libx264"
    metadata: Mapping[str, str] = field(default_factory=dict)


_FRAMES_PER_SECOND: Final = 10


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """Restores the scheduling after encoding AV1.

    If root calls it, SVT-AV1 makes the calling thread a real-time thread and leaves it so.
    """
    if not hasattr(os, "sched_getscheduler"):  # not Linux
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def movie(shape: MovieShape, upright: Image.Image | None = None) -> bytes:
    """Returns a short movie. A player that applies its matrix shows the quadrants, or `upright`."""
    flags = ["use_metadata_tags"]
    flags += ["faststart"] if shape.faststart else []
    flags += ["frag_keyframe", "empty_moov"] if shape.fragmented else []
    options = {"movflags": "+".join(flags)}
    # A real file: moving the index to the front needs the muxer to read back what it wrote.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie"
        _write_movie(path, shape, upright, options)
        return path.read_bytes()


def _write_movie(path: Path, shape: MovieShape, upright: Image.Image | None, options: dict[str, str]) -> None:
    with av.open(path, "w", format=shape.container, options=options) as container:
        container.metadata.update(shape.metadata)
        stream = container.add_stream(shape.codec, rate=_FRAMES_PER_SECOND)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        stream.gop_size = _FRAMES_PER_SECOND // 2
        stream.codec_context.sample_aspect_ratio = shape.pixel_shape
        if shape.rotation or shape.mirrored:
            stream.set_display_rotation(shape.rotation, hflip=shape.mirrored)
        for frame in _frames(shape, upright):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frames(shape: MovieShape, upright: Image.Image | None) -> Iterator[av.VideoFrame]:
    picture = upright or quadrants(*_shown(shape))
    if shape.rotation:
        # The player rotates counter-clockwise by `rotation`; the coded frame is rotated the other way.
        picture = picture.rotate(-shape.rotation, expand=True)
    lit = _video_frame(picture.resize((shape.width, shape.height)))
    dark = _video_frame(Image.new("RGB", (shape.width, shape.height)))
    for number in range(round(shape.seconds * _FRAMES_PER_SECOND)):
        frame = dark if number < shape.dark_seconds * _FRAMES_PER_SECOND else lit
        frame.pts = number
        frame.time_base = Fraction(1, _FRAMES_PER_SECOND)
        yield frame


def _video_frame(picture: Image.Image) -> av.VideoFrame:
    frame: av.VideoFrame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call] # its stub lacks types
    return frame


def _shown(shape: MovieShape) -> tuple[int, int]:
    width = round(shape.width * shape.pixel_shape)
    return (shape.height, width) if shape.rotation % 180 else (width, shape.height)


def mutations(body: bytes, *, seed: int, count: int) -> Iterator[bytes]:
    """Yields damaged copies. Bytes are flipped, cut, doubled or zeroed, mostly in the first 4 KiB with the
    headers.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible damage, not a secret
    for _ in range(count):
        damaged = bytearray(body)
        for _ in range(rng.randint(1, 12)):
            reach = len(damaged) if rng.random() < 0.2 else min(len(damaged), 4096)
            at = rng.randrange(reach)
            span = rng.randint(1, 8)
            kind = rng.randrange(4)
            if kind == 0:
                damaged[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                damaged[at : at + span] = rng.randbytes(span)
            elif kind == 2:
                damaged[at : at + span] = bytes([rng.choice((0, 0xFF))]) * span
            else:
                damaged[at:at] = damaged[at : at + span]
        yield bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 0.2 else damaged)


class CountingSource:
    """A source that records the reads. Between `head` and `tail` are gap_bytes zeros."""

    def __init__(self, head: bytes, *, gap_bytes: int = 0, tail: bytes = b"") -> None:
        self._head = head
        self._tail = tail
        self._tail_at = len(head) + gap_bytes
        self.reads: list[int] = []

    @property
    def size_bytes(self) -> int:
        return self._tail_at + len(self._tail)

    async def read(self, start: int, length: int) -> bytes:
        length = max(0, min(length, self.size_bytes - start))
        self.reads.append(length)
        part = bytearray(length)
        for body, at in ((self._head, 0), (self._tail, self._tail_at)):
            low, high = max(start, at), min(start + length, at + len(body))
            if low < high:
                part[low - start : high - start] = body[low - at : high - at]
        return bytes(part)


def with_huge_media(body: bytes, *, media_bytes: int) -> CountingSource:
    """Returns a movie whose index comes last, with media data of `media_bytes` that are not stored."""
    media_at = body.index(b"mdat") - 4
    index_at = body.index(b"moov", media_at) - 4
    head = body[:media_at] + b"\x00\x00\x00\x01mdat" + (16 + media_bytes).to_bytes(8, "big")
    return CountingSource(head, gap_bytes=media_bytes, tail=body[index_at:])
