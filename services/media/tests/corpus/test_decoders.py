"""Pictures are shown as two other decoders show them: the corpus, and forms that few writers use."""

from __future__ import annotations

import io
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from subprocess import CalledProcessError
from typing import Final

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, MediaFormat, probe, sniff
from kappi_testkit.media.bmp import HEADERS, MASKS, OS2_HEADERS, of_colours, of_masks, of_palette
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.tiff import Pixels, colours, read_by_tifffile
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()

_COMPARED: Final = frozenset(
    {
        *(MediaFormat.TIFF, MediaFormat.BMP, MediaFormat.AVIF, MediaFormat.HEIC),
        *(MediaFormat.JXL, MediaFormat.JP2),
    }
)
# Films that only FFmpeg decodes. The service has another version of it, and reads their headers by itself.
_FILMS: Final = frozenset({MediaFormat.AVI, MediaFormat.MPEG_TS, MediaFormat.WMV})
_SIDE: Final = 32
_MEAN, _PIXEL = 4.0, 8.0  # of 255, at 32 pixels a side
# No other decoder applies EXIF in a HEIC or JPEG 2000, nor light in JPEG XL, and only Pillow opacity in an
# animation.
_BY_FEWER: Final = {
    "turned-by-exif.heic": 0,
    "turned-6.jp2": 0,
    "floating.jxl": 0,
    "clear-animated.avif": 1,
}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=2)
    yield renderer
    await renderer.close()


async def rendered(renderer: Renderer, body: bytes) -> Pixels:
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    facts = await probe(BytesSource(body), fmt)
    (image,) = await renderer.render(BytesSource(body), facts, [RenditionSize(height=facts.height)])
    return small(Image.open(io.BytesIO(image.body)))


def small(picture: Image.Image) -> Pixels:
    """Returns the picture on white, with as many pixels as show mean colours and structure."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX), "f8")


def differ(found: Pixels, other: Pixels) -> str | None:
    means = np.abs((found - other).mean((0, 1))).max()
    pixels = np.abs(found - other).mean()
    return f"means by {means:.1f}, pixels by {pixels:.1f}" if means > _MEAN or pixels > _PIXEL else None


def by_pillow(path: Path, _: Path) -> Pixels:
    with Image.open(path) as picture:
        return small(ImageOps.exif_transpose(picture))


def by_imagemagick(path: Path, folder: Path) -> Pixels:
    out = folder / "magick.png"
    run("convert", f"{path}[0]", "-auto-orient", "-colorspace", "sRGB", "-depth", "8", f"PNG32:{out}")
    return small(Image.open(out))


def by_ffmpeg(path: Path, folder: Path) -> Pixels:
    out = folder / "ffmpeg.png"
    run("ffmpeg", "-y", "-v", "error", "-i", path, "-frames:v", "1", "-pix_fmt", "rgba", out)
    return small(Image.open(out))


def by_tifffile(path: Path, _: Path) -> Pixels:
    return small(Image.fromarray(read_by_tifffile(path.read_bytes())))


def by_imagecodecs(path: Path, _: Path) -> Pixels:
    """Reads by libjxl or OpenJPEG."""
    body = path.read_bytes()
    pixels = imagecodecs.jpegxl_decode(body) if path.suffix == ".jxl" else imagecodecs.jpeg2k_decode(body)
    if pixels.dtype.kind == "f":
        pixels = (pixels.clip(0, 1) * 255).astype("u1")
    elif pixels.dtype == np.uint16:
        bits = 10 if path.name == "ten-bits.jp2" else 16
        pixels = (pixels >> (bits - 8)).astype("u1")
    turned = ImageOps.exif_transpose(Image.fromarray(pixels))
    return small(turned)


OTHERS: Final = (by_pillow, by_imagemagick, by_ffmpeg, by_tifffile, by_imagecodecs)
CANNOT: Final = (OSError, ValueError, SyntaxError, TypeError, CalledProcessError)


def agreeing(found: Pixels, path: Path, folder: Path, *, enough: int) -> dict[str, str]:
    """Returns how other decoders differ; empty when enough of them agree. None of them reads all files."""
    said: dict[str, str] = {}
    for other in OTHERS:
        try:
            how = differ(found, other(path, folder))
        except CANNOT as cannot:
            how = type(cannot).__name__
        if how is None:
            enough -= 1
        else:
            said[other.__name__] = how
        if enough <= 0:
            return {}
    return said


async def test_the_corpus_is_shown_as_others_show_it(
    corpus: Mapping[str, Path], renderer: Renderer, tmp_path: Path
) -> None:
    wrong = {}
    for name, path in corpus.items():
        body = path.read_bytes()
        if sniff(body[:SNIFF_BYTES]) in _COMPARED:
            found = await rendered(renderer, body)
            wrong[name] = agreeing(found, path, tmp_path, enough=_BY_FEWER.get(name, 2))
    assert {name: how for name, how in wrong.items() if how} == {}


BITMAPS: Final = {
    **{
        f"{name}, {size}": of_masks(colours(), masks, header_bytes=size)
        for (name, masks), size in itertools.product(MASKS.items(), HEADERS)
        if len(masks) == 3 or size != 52  # which holds three masks
    },
    **{
        f"{depth} bits, {size}": of_palette(colours(), depth, header_bytes=size)
        for depth, size in itertools.product((1, 4, 8), (*HEADERS, *OS2_HEADERS))
    },
    **{f"24 bits, {size}": of_colours(colours(), header_bytes=size) for size in (*HEADERS, *OS2_HEADERS)},
    "top down": of_colours(colours(), top_down=True),
}


async def test_posters_show_what_ffmpeg_shows(
    corpus: Mapping[str, Path], renderer: Renderer, tmp_path: Path
) -> None:
    wrong = {}
    for name, path in corpus.items():
        body = path.read_bytes()
        if sniff(body[:SNIFF_BYTES]) in _FILMS:
            wrong[name] = differ(await rendered(renderer, body), by_ffmpeg(path, tmp_path))
    assert len(wrong) >= 15
    assert {name: how for name, how in wrong.items() if how} == {}


async def test_every_kind_of_bmp_is_shown(renderer: Renderer) -> None:
    wrong = {}
    for name, body in BITMAPS.items():
        depth = int(name.split()[0]) if " bits" in name else 24
        right = Image.fromarray(colours())
        if depth <= 8:
            right = right.quantize(1 << depth, dither=Image.Dither.NONE)
        if how := differ(await rendered(renderer, body), small(right)):
            wrong[name] = how
    assert wrong == {}
