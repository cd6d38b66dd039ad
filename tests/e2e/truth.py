"""The displayed content of a file, read by Pillow and PyAV without any code of the product."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageChops, ImageOps, ImageStat

_VIDEOS = {".mp4", ".mov"}
_TURNS = tuple(Image.Transpose)


@dataclass(frozen=True, slots=True)
class Truth:
    """kind, and pixels as displayed."""

    kind: str
    width: int
    height: int


def truth_of(path: Path) -> Truth:
    if path.suffix in _VIDEOS:
        picture = next(_frames(path))
        return Truth("video", picture.width, picture.height)
    picture = _upright(path)
    return Truth("image", picture.width, picture.height)


def check_rendition(path: Path, rendition: bytes, *, height: int = 400) -> None:
    """Asserts that a JPEG shows the file upright, within the height, and contains no place."""
    shown = Image.open(io.BytesIO(rendition))
    assert shown.format == "JPEG"
    exif = shown.getexif()
    assert exif.get(0x0112, 1) == 1, "it must not depend on a viewer that rotates it"
    assert not exif.get_ifd(0x8825), "no place in a rendition"
    truth = truth_of(path)
    assert shown.height == min(height, truth.height)
    assert abs(shown.width - truth.width * shown.height / truth.height) <= 1.5
    picture = _glance(shown)
    frames = _frames(path) if path.suffix in _VIDEOS else iter([_upright(path)])
    references = [_glance(frame) for frame in frames]
    upright = min(_difference(picture, reference) for reference in references)
    assert upright < 12, f"{path.name} does not look like its rendition: {upright:.1f}"
    turned = min(
        _difference(picture, reference.transpose(turn)) for reference in references for turn in _TURNS
    )
    assert upright < turned, f"{path.name} is not upright"


def _upright(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def _frames(path: Path) -> Iterator[Image.Image]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call] # its stub lacks types
            wide = round(frame.width * (stream.sample_aspect_ratio or Fraction(1)))
            yield picture.resize((wide, frame.height)).rotate(frame.rotation, expand=True)


def _glance(picture: Image.Image) -> Image.Image:
    """Returns a square thumbnail: grain and codecs do not matter in it, and it is cheap to rotate."""
    return picture.convert("RGB").resize((48, 48), reducing_gap=2)


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Returns the mean difference of the channels, 0 to 255."""
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)
