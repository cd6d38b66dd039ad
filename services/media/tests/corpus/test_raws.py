"""Camera RAW is shown upright: by its previews, or developed as dcraw develops it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tifffile
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import (
    SNIFF_BYTES,
    BytesSource,
    MediaFormat,
    Probe,
    ProbeRejected,
    Rejected,
    identify,
    probe,
    sniff,
)
from kappi_testkit.media.corpus.oracles import run
from kappi_testkit.media.corpus.raws import (
    DNG_SENSOR_TAGS,
    DNG_TAGS,
    HEIGHT,
    RAWS,
    WIDTH,
    camera_tags,
    jpeg_tags,
    mosaic,
    preview,
    sensor_tags,
    strip_tags,
    upright,
)
from kappi_testkit.media.rendering import assert_upright
from kappi_testkit.media.tiff import Pixels
from kappi_testkit.media.tiff_structure import LONG, Below, Data, Directory, tiff_structure
from PIL import Image

_DEVELOPED: Final = frozenset(name for name in RAWS if name.startswith("developed"))
_LESS_THAN_PREVIEW: Final = 120
_SIDE: Final = 16
_PIXEL: Final = 8.0  # of 255, at sixteen pixels a side


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


def small(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX), "f8")


async def facts_of(body: bytes) -> Probe:
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    return await probe(BytesSource(body), fmt)


async def shown(renderer: Renderer, body: bytes, height: int) -> Image.Image:
    source = BytesSource(body)
    (image,) = await renderer.render(source, await facts_of(body), [RenditionSize(height=height)])
    return Image.open(io.BytesIO(image.body))


def by_dcraw(path: Path) -> Image.Image:
    """Returns the picture as dcraw develops it, with the camera's white balance."""
    run("dcraw", "-w", "-T", path)
    return Image.open(path.with_suffix(".tiff"))


@pytest.mark.parametrize("height", [_LESS_THAN_PREVIEW, HEIGHT])
@pytest.mark.parametrize("name", sorted(RAWS.keys() - _DEVELOPED))
async def test_a_preview_is_shown_as_the_file_says_it_is_turned(
    name: str, height: int, corpus: Mapping[str, Path], renderer: Renderer
) -> None:
    body = corpus[name].read_bytes()
    picture = await shown(renderer, body, height)
    turned = (await facts_of(body)).orientation
    assert np.abs(small(picture) - small(upright(turned))).mean() < _PIXEL
    assert picture.height == height


@pytest.mark.parametrize("name", sorted(_DEVELOPED))
async def test_a_file_without_a_preview_is_developed(
    name: str, corpus: Mapping[str, Path], renderer: Renderer, tmp_path: Path
) -> None:
    body = corpus[name].read_bytes()
    facts = await facts_of(body)
    copy = tmp_path / name
    copy.write_bytes(body)
    reference = small(by_dcraw(copy))
    for height in (_LESS_THAN_PREVIEW, facts.height):
        picture = await shown(renderer, body, height)
        assert np.abs(small(picture) - reference).mean() < _PIXEL
        assert (picture.width, picture.height) == (round(facts.width * height / facts.height), height)


async def test_a_preview_that_is_too_small_is_not_enlarged(renderer: Renderer) -> None:
    """The sensor data are developed; a thumbnail of another colour shows which of the two was used."""
    grey = io.BytesIO()
    Image.new("RGB", (WIDTH // 4, HEIGHT // 4), "grey").save(grey, "JPEG")
    body = _dng(jpeg_tags(grey.getvalue()))
    assert np.ptp(small(await shown(renderer, body, HEIGHT))) > 100
    assert np.ptp(small(await shown(renderer, body, HEIGHT // 4))) < 10


async def test_a_preview_that_is_upright_already_is_not_turned_again(renderer: Renderer) -> None:
    body = _dng(jpeg_tags(_jpeg(upright(6))), orientation=6)
    assert np.abs(small(await shown(renderer, body, WIDTH)) - small(upright(6))).mean() < _PIXEL


async def test_a_preview_is_shown_where_the_sensor_data_are_not_developed(renderer: Renderer) -> None:
    coded = dict(strip_tags(b"no sensor data" * 100, compression=7, photometric=32803))
    body = _dng(jpeg_tags(preview(small=True)), sensor=coded)
    picture = await shown(renderer, body, HEIGHT)
    assert np.abs(small(picture) - small(upright(1))).mean() < _PIXEL


async def test_sensor_data_of_zeros_are_no_picture(renderer: Renderer) -> None:
    """LibRaw develops a file whose data are missing, to a black picture."""
    body = _dng({}, sensor={**sensor_tags(), 273: Data(bytes(2 * WIDTH * HEIGHT))})
    with pytest.raises(Rejected, match="corrupt"):
        await shown(renderer, body, HEIGHT)


@pytest.mark.parametrize("name", sorted(RAWS))
async def test_a_file_that_ends_within_its_sensor_data_is_truncated(
    name: str, corpus: Mapping[str, Path]
) -> None:
    body = corpus[name].read_bytes()
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    with pytest.raises(ProbeRejected, match="truncated"):
        await probe(BytesSource(body[: len(body) // 5]), fmt)


@pytest.mark.parametrize(
    ("make", "content_type"),
    [("NIKON CORPORATION", "image/x-nikon-nef"), ("PENTAX", "image/x-pentax-pef"), ("", "image/x-adobe-dng")],
)
async def test_the_first_directory_may_be_anywhere(make: str, content_type: str, renderer: Renderer) -> None:
    """By its first bytes such a file is a TIFF, and named so until its header is read."""
    first = camera_tags(make or "Kappi", "Z", 6) | jpeg_tags(preview(6)) | {254: (LONG, [1])}
    first |= {330: Below([{**sensor_tags(6), **DNG_SENSOR_TAGS}])}
    if not make:
        first |= DNG_TAGS
    body = tiff_structure([first], gap=bytes(3 << 20))
    assert identify(content_type, body[:SNIFF_BYTES]) is MediaFormat.TIFF
    facts = await facts_of(body)
    assert (facts.content_type, facts.width, facts.height) == (content_type, HEIGHT, WIDTH)
    assert await renderer.probe(BytesSource(body), MediaFormat.TIFF) == facts
    assert_upright(await shown(renderer, body, 100))


async def test_a_distant_directory_of_another_maker_is_refused() -> None:
    first = camera_tags("Kappi", "Z") | jpeg_tags(preview()) | {330: Below([sensor_tags()])}
    with pytest.raises(ProbeRejected, match="unsupported_type"):
        await facts_of(tiff_structure([first], gap=bytes(5_000)))


DNG_KINDS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "uncompressed": ("u2", {}),
    "lossless JPEG": ("u2", {"compression": 7, "compressionargs": {"lossless": True, "bitspersample": 16}}),
    "Deflate": ("u2", {"compression": "adobe_deflate"}),
    "JPEG XL": ("u2", {"compression": 52546, "compressionargs": {"lossless": True}}),
    "floating point": ("f4", {}),
    "floating point in Deflate": ("f4", {"compression": "adobe_deflate", "predictor": 34894}),
    "linear": ("linear u2", {}),
    "linear in lossy JPEG": ("linear u1", {"compression": 34892}),
    "linear in JPEG XL": ("linear u2", {"compression": 52546}),
}
NOT_DEVELOPED: Final = frozenset({"Deflate", "JPEG XL", "linear in JPEG XL"})


@pytest.mark.parametrize("kind", DNG_KINDS)
async def test_the_codings_of_dng_that_are_taken_are_those_that_are_developed(
    kind: str, renderer: Renderer, tmp_path: Path
) -> None:
    body = _dng_of(kind, tmp_path / "kind.dng")
    if kind in NOT_DEVELOPED:
        with pytest.raises(ProbeRejected, match=r"unsupported_type.*no preview"):
            await facts_of(body)
    else:
        picture = await shown(renderer, body, HEIGHT)
        colours = small(picture).reshape(_SIDE, _SIDE, 3)
        top_left, bottom_right = colours[2, 2], colours[-3, -3]
        assert top_left[0] > top_left[1] + 50  # red
        assert min(bottom_right[0], bottom_right[1]) > bottom_right[2] + 50  # yellow


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()


def _dng(shown: Directory, *, orientation: int = 1, sensor: Directory | None = None) -> bytes:
    """Returns a DNG. shown: the tags of its preview. sensor: its sensor data, else of the picture."""
    below = {**(sensor or sensor_tags(orientation)), **DNG_SENSOR_TAGS}
    first = {**camera_tags("Kappi", "Test", orientation), **DNG_TAGS, **shown}
    return tiff_structure([{**first, 254: (LONG, [1]), 330: Below([below])}])


def _dng_of(kind: str, path: Path) -> bytes:
    """Returns a DNG without a preview, of a kind that tifffile writes."""
    samples, options = DNG_KINDS[kind]
    tags = [
        *((271, 2, 0, "Kappi", True), (272, 2, 0, "Test", True), (274, 3, 1, 1, True)),
        *((50706, 1, 4, bytes([1, 7, 1, 0]), True), (50707, 1, 4, bytes([1, 4, 0, 0]), True)),
        (50721, 10, 9, _rationals(0.9, -0.3, -0.05, -0.4, 1.2, 0.2, -0.05, 0.2, 0.6), True),
        *((50728, 5, 3, _rationals(0.6, 1.0, 0.7), True), (50778, 3, 1, 21, True)),
    ]
    sensor = mosaic().astype("f8") / 16383
    if samples.startswith("linear"):
        sensor = (np.asarray(upright(1), "f8") / 255) ** 2.2 * np.array([0.6, 1.0, 0.7])
        photometric: Any = 34892
    else:
        photometric = "cfa"
        tags += [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]
        tags += [(50710, 1, 3, bytes([0, 1, 2]), True), (50711, 3, 1, 1, True)]
    white = {"u1": 255, "u2": 16383, "f4": 1}[samples[-2:]]
    pixels = (sensor * white).astype(samples[-2:])
    tags.append((50717, 4, 1, white, True))
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            pixels, photometric=photometric, extratags=tags, metadata=None, tile=(160, 160), **options
        )
    return path.read_bytes()


def _rationals(*values: float) -> list[int]:
    return [part for value in values for part in (round(value * 10_000), 10_000)]
