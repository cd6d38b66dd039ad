"""Writes one picture as TIFFs of every kind: compression, format of samples, extra samples, planes, tiles.

tifffile writes them. Its codecs differ from the decoder's.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[Any]

WIDTH, HEIGHT = 120, 90
COMPRESSIONS: Final = (
    *("none", "lzw", "zlib", "packbits", "zstd", "lzma", "webp"),
    *("jpeg", "lerc", "jpegxl", "jpeg2000", "png"),
)
SAMPLES: Final = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
EXTRAS: Final[tuple[tuple[int, ...], ...]] = (
    (),
    (UNSPECIFIED,),
    (ASSOCIATED,),
    (UNASSOCIATED,),
    (UNSPECIFIED, UNASSOCIATED),
    (UNASSOCIATED, UNSPECIFIED),
)
PROFILES: Final = ("none", "sRGB")
LAYOUTS: Final = ("strips", "tiles", "planes", "planes of tiles")


@dataclass(frozen=True, slots=True)
class Tiff:
    """A kind of TIFF.

    grey: with one colour. predicted: stores differences of neighbours, if the compression allows it.
    """

    compression: str = "none"
    samples: str = "u1"
    extras: tuple[int, ...] = ()
    profile: str = "none"
    layout: str = "strips"
    grey: bool = False
    predicted: bool = False
    big: bool = False

    def __str__(self) -> str:
        parts = (
            self.compression,
            self.samples,
            "".join(map(str, self.extras)) or "-",
            self.profile,
            self.layout,
        )
        flags = [name for name in ("grey", "predicted", "big") if getattr(self, name)]
        return " ".join((*parts, *flags))

    @property
    def must_be_read(self) -> bool:
        """Whether the decoder must read this kind. It may refuse others, but must not show them wrong."""
        codecs = ("none", "lzw", "zlib", "packbits", "zstd", "lzma")
        return self.compression in codecs and self.samples in ("u1", "u2", "u4", "f2", "f4")


def kinds() -> Iterator[Tiff]:
    """Yields every combination that tifffile may write."""
    for axes in itertools.product(COMPRESSIONS, SAMPLES, EXTRAS, PROFILES, LAYOUTS, (False, True)):
        compression, samples, extras, profile, layout, grey = axes
        yield Tiff(compression, samples, extras, profile, layout, grey)
    for compression, samples, layout in itertools.product(("lzw", "zlib", "zstd", "lzma"), SAMPLES, LAYOUTS):
        yield Tiff(compression, samples, layout=layout, predicted=True)
        yield Tiff(compression, samples, layout=layout, big=True)


def colours() -> Pixels:
    """Returns the picture: slopes, and a rectangle each of red and blue. Eight bits, RGB."""
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    slopes = np.stack([40 + across, 200 - down, 60 + (across + down) // 2], axis=2).astype("u1")
    picture = Image.fromarray(slopes)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10, 10, 50, 40), fill=(210, 40, 40))
    draw.rectangle((70, 50, 110, 80), fill=(40, 70, 200))
    return np.asarray(picture)


def opacity() -> Pixels:
    """Returns the opacity of every pixel, eight bits: transparent on the left, opaque on the right."""
    return np.broadcast_to(np.linspace(0, 255, WIDTH).round(), (HEIGHT, WIDTH)).astype("u1")


def shown(kind: Tiff) -> Pixels:
    """Returns the correct rendition, eight bits, RGB: on white if a sample is an opacity."""
    picture = colours().astype("f8")
    if kind.grey:
        picture = np.repeat(picture[..., 1:2], 3, axis=2)
    if {ASSOCIATED, UNASSOCIATED} & set(kind.extras):
        share = opacity()[..., None] / 255
        picture = picture * share + 255 * (1 - share)
    return picture.round().astype("u1")


def written(kind: Tiff, *, profile: bytes) -> bytes | None:
    """Returns the file, or None if the compression has no such samples."""
    colour = colours().astype("f8")[..., 1:2] if kind.grey else colours().astype("f8")
    if ASSOCIATED in kind.extras:
        colour = colour * (opacity()[..., None] / 255)
    extras = [opacity().astype("f8")[..., None] if extra else _rectangle() for extra in kind.extras]
    pixels = _samples(np.concatenate([colour, *extras], axis=2), kind.samples)
    planes = kind.layout.startswith("planes") and pixels.shape[2] > 1
    if planes:
        pixels = np.moveaxis(pixels, 2, 0)
    elif pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    out = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tifffile.imwrite(
                out,
                pixels,
                bigtiff=kind.big,
                byteorder=">" if kind.big else "<",
                photometric="minisblack" if kind.grey else "rgb",
                extrasamples=kind.extras or None,
                planarconfig=("separate" if planes else "contig") if pixels.ndim > 2 else None,
                tile=(32, 48) if kind.layout.endswith("tiles") else None,
                rowsperstrip=None if kind.layout.endswith("tiles") else 40,
                compression=None if kind.compression == "none" else kind.compression,
                predictor=kind.predicted,
                iccprofile=profile if kind.profile != "none" else None,
            )
    except (ValueError, KeyError, RuntimeError, TypeError):
        return None
    return out.getvalue()


def _rectangle() -> Pixels:
    """Returns a sample that is no opacity: a selection, which editors store beside the colours."""
    selection = np.zeros((HEIGHT, WIDTH, 1))
    selection[20:60, 30:90] = 255
    return selection


def _samples(pixels: Pixels, form: str) -> Pixels:
    """Returns eight bits in the range of a format: 0 to 1 in floating point, from 0 in signed numbers."""
    kind = np.dtype(form)
    if kind.kind == "f":
        return (pixels / 255).astype(kind)
    return (pixels / 255 * np.iinfo(kind).max).round().astype(kind)


def read_by_tifffile(body: bytes) -> Pixels:
    """Returns the picture that tifffile reads in a file of `written`: eight bits, RGB, on white."""
    with tifffile.TiffFile(io.BytesIO(body)) as file:
        page = file.pages.first
        pixels = page.asarray()
        extras = [int(extra) for extra in page.extrasamples]
        colours = page.samplesperpixel - len(extras)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif pixels.shape[0] == page.samplesperpixel and pixels.shape[2] != page.samplesperpixel:
        pixels = np.moveaxis(pixels, 0, 2)
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    unit = pixels.astype("f8") / top
    picture = np.repeat(unit[..., :1], 3, axis=2) if colours == 1 else unit[..., :3]
    number = next((at for at, extra in enumerate(extras) if extra), None)
    if number is not None:
        share = unit[..., colours + number][..., None]
        picture = (picture if extras[number] == ASSOCIATED else picture * share) + 1 - share
    return (picture * 255).round().clip(0, 255).astype("u1")
