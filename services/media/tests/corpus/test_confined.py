"""A confined decoder does the same for every file of the corpus as the code without confinement."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.gps_free.edits import Unremovable
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, MediaFormat, probe, sniff
from PIL import Image

WRITTEN: Final[tuple[RenditionFormat, ...]] = ("jpeg", "webp", "avif")


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


@pytest.fixture
def files(corpus: Mapping[str, Path]) -> dict[str, tuple[MediaFormat, bytes]]:
    found = {}
    for name, path in corpus.items():
        body = path.read_bytes()
        fmt = sniff(body[:SNIFF_BYTES])
        assert fmt is not None, name
        found[name] = (fmt, body)
    return found


async def test_headers_and_places_are_read_as_they_are_without(
    renderer: Renderer, files: Mapping[str, tuple[MediaFormat, bytes]]
) -> None:
    for name, (fmt, body) in files.items():
        source = BytesSource(body)
        assert await renderer.probe(source, fmt) == await probe(source, fmt), name
        if fmt.is_camera_raw:
            with pytest.raises(Unremovable, match="not rewritten"):
                await renderer.find_location(source)
        else:
            assert await renderer.find_location(source) == await find_location(source), name


async def test_every_format_is_decoded_and_every_format_is_written(
    renderer: Renderer, files: Mapping[str, tuple[MediaFormat, bytes]]
) -> None:
    one_each = {fmt: BytesSource(body) for fmt, body in files.values()}
    assert set(one_each) == set(MediaFormat)
    for fmt, source in one_each.items():
        facts = await probe(source, fmt)
        for written in WRITTEN:
            (image,) = await renderer.render(source, facts, [RenditionSize(height=60)], fmt=written)
            picture = Image.open(io.BytesIO(image.body), formats=[written.upper()])
            assert picture.size == (image.width, image.height), (fmt, written)


async def test_what_moves_moves_in_webp(
    renderer: Renderer, files: Mapping[str, tuple[MediaFormat, bytes]]
) -> None:
    frames = {}
    for name, (fmt, body) in files.items():
        if "animated" in name:
            source = BytesSource(body)
            size = [RenditionSize(height=40)]
            (image,) = await renderer.render(source, await probe(source, fmt), size, fmt="webp")
            frames[name] = getattr(Image.open(io.BytesIO(image.body)), "n_frames", 1)
    assert set(frames) >= {"animated.avif", "animated.gif", "animated.png", "animated.webp"}
    assert min(frames.values()) > 1, frames
