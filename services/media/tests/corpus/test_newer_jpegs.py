"""JPEG XL and JPEG 2000 of all the kinds that encoders here write: each is shown right, or refused."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import av
import imagecodecs
import numpy as np
import pyjpegxl
import pytest
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import (
    SNIFF_BYTES,
    BytesSource,
    MediaFormat,
    ProbeRejected,
    RejectReason,
    probe,
    sniff,
)
from kappi_testkit.media.corpus.newer_jpegs import clear_colours, deep, linear
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.high_range import BT_2020, PQ, deep_png, in_pq, scene, tone_mapped
from kappi_testkit.media.samples import encode
from kappi_testkit.media.tiff import Pixels, colours
from PIL import Image

_SIDE: Final = 32
_PIXEL: Final = 4.0  # of 255, at 32 pixels a side


def grey(pixels: Pixels) -> Pixels:
    shades = np.asarray(Image.fromarray(pixels[..., :3]).convert("L"))
    return np.dstack([shades, pixels[..., 3]]) if pixels.shape[2] == 4 else shades[..., None]


CHANNELS: Final[dict[str, Callable[[], Pixels]]] = {
    "grey": lambda: grey(colours()),
    "grey, clear": lambda: grey(clear_colours()),
    "colour": colours,
    "colour, clear": clear_colours,
}
SAMPLES: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "8 bits": lambda pixels: pixels,
    "16 bits": deep,
    "floating": lambda pixels: (
        np.dstack([linear(pixels[..., :-1]), (pixels[..., -1:] / 255).astype("f4")])
        if pixels.shape[2] in (2, 4)
        else linear(pixels)
    ),
}
PACKED: Final = {"lossy": False, "lossless": True}
COLOUR_SPACES: Final = {"SRGB": 3, "SYCC": 3, "GRAY": 1}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


async def difference(renderer: Renderer, body: bytes, pixels: Pixels) -> float:
    """Returns by how much the rendition differs from the eight bits that were encoded, on white."""
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    facts = await probe(BytesSource(body), fmt)
    (image,) = await renderer.render(BytesSource(body), facts, [RenditionSize(height=facts.height)])
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    right = Image.fromarray(pixels[..., 0] if bands == 1 and pixels.ndim == 3 else pixels, modes[bands])
    shown = small(Image.open(io.BytesIO(image.body)))
    return float(np.abs(shown - small(right)).mean())


def small(picture: Image.Image) -> Pixels:
    clear = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return np.asarray(flat.resize((_SIDE, _SIDE), Image.Resampling.BOX), "f8")


@pytest.mark.parametrize("kind", list(product(CHANNELS, SAMPLES, PACKED)), ids=", ".join)
async def test_every_kind_of_jpeg_xl_is_shown(renderer: Renderer, kind: tuple[str, str, str]) -> None:
    channels, samples, packed = kind
    pixels = CHANNELS[channels]()
    body = pyjpegxl.encode_from_numpy(SAMPLES[samples](pixels), lossless=PACKED[packed])
    assert await difference(renderer, body, pixels) < _PIXEL


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("space", COLOUR_SPACES)
async def test_every_kind_of_jpeg_2000_is_shown(
    renderer: Renderer, space: str, reversible: bool, bits: int
) -> None:
    pixels = colours() if COLOUR_SPACES[space] == 3 else grey(colours())[..., 0]
    stored = np.asarray(Image.fromarray(pixels).convert("YCbCr")) if space == "SYCC" else pixels
    samples = stored if bits == 8 else deep(stored) >> (16 - bits)
    level = 0 if reversible else 50
    body = imagecodecs.jpeg2k_encode(
        samples,
        level=level,
        reversible=reversible,
        bitspersample=bits,
        colorspace=space,
        mct=space == "SRGB",
    )
    assert await difference(renderer, bytes(body), pixels) < _PIXEL


LAYOUTS: Final = ("yuv422p", "yuv420p", "yuv420p10le", "gray16le", "ya8")


@pytest.mark.parametrize(
    ("layout", "ending"),
    # A bare codestream does not tell which colours it has: if none of three is halved, they are those of RGB.
    [("yuv444p", "jp2"), *product(LAYOUTS, ("jp2", "j2k"))],
)
async def test_layouts_of_films_in_jpeg_2000(
    renderer: Renderer, layout: str, ending: str, tmp_path: Path
) -> None:
    source, made = tmp_path / "a.png", tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(source)
    how = ("-vf", f"scale=out_range=pc,format={layout}", "-frames:v", "1", "-f", "image2")
    run("ffmpeg", "-y", "-v", "error", "-i", source, *how, "-c:v", "libopenjpeg", "-format", ending, made)
    right = grey(colours()) if layout.startswith(("gray", "ya")) else colours()
    assert await difference(renderer, made.read_bytes(), right) < _PIXEL


@pytest.mark.parametrize("layout", [{}, {"tile_size": (32, 48)}, {"progression": "RPCL"}, {"plt": True}])
async def test_a_small_rendition_is_decoded_small_and_is_the_same(
    renderer: Renderer, layout: dict[str, object]
) -> None:
    picture = Image.fromarray(colours()).resize((1_200, 900))
    body = encode(picture, "JPEG2000", options=layout)
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    facts = await probe(BytesSource(body), fmt)
    (image,) = await renderer.render(BytesSource(body), facts, [RenditionSize(height=60)])
    assert (image.width, image.height) == (80, 60)
    shown = small(Image.open(io.BytesIO(image.body)))
    assert np.abs(shown - small(picture)).mean() < _PIXEL


def _jpeg2k(pixels: Pixels, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, **options))


@pytest.mark.parametrize(("transfer", "number"), [("smpte2084", 16), ("arib-std-b67", 18)])
async def test_a_jpeg_xl_of_high_range_keeps_it_in_avif(
    renderer: Renderer, transfer: str, number: int, tmp_path: Path
) -> None:
    source, made = tmp_path / "a.png", tmp_path / "a.jxl"
    source.write_bytes(deep_png(in_pq(scene()), primaries=BT_2020, transfer=PQ))
    numbers = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "rgb")
    run("ffmpeg", "-y", "-v", "error", "-i", source, *numbers, "-c:v", "libjxl", "-distance", "0", made)
    body = made.read_bytes()
    facts = await probe(BytesSource(body), MediaFormat.JXL)
    size = [RenditionSize(height=facts.height)]
    (wide,) = await renderer.render(BytesSource(body), facts, size, fmt="avif")
    with av.open(io.BytesIO(wide.body), "r") as opened:
        frame = next(opened.decode(video=0))
    assert (frame.color_primaries, frame.color_trc, frame.format.name) == (9, number, "yuv420p10le")
    (plain,) = await renderer.render(BytesSource(body), facts, size)
    shown = small(Image.open(io.BytesIO(plain.body)))
    if number == PQ:
        right = small(Image.fromarray(tone_mapped(scene())))
        assert np.abs(shown - right).mean() < _PIXEL


REFUSED: Final[dict[str, Callable[[], bytes]]] = {
    "CMYK": lambda: _jpeg2k(clear_colours(), colorspace="CMYK"),
    "e-YCC": lambda: _jpeg2k(colours(), colorspace="EYCC"),
    "signed": lambda: encode(Image.fromarray(colours()), "JPEG2000", options={"signed": True}),
    "24 bits": lambda: _jpeg2k(colours().astype("u4"), bitspersample=24),
    "an animation": lambda: bytes(imagecodecs.jpegxl_encode(np.stack([colours(), colours()]))),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_kinds_that_no_decoder_shows_right_are_refused(name: str) -> None:
    body = REFUSED[name]()
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    with pytest.raises(ProbeRejected) as refused:
        await probe(BytesSource(body), fmt)
    assert refused.value.reason is RejectReason.UNSUPPORTED_TYPE
