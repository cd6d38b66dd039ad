"""Every file of the corpus gets a grid picture in the shape in which it is displayed, and a placeholder."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import SNIFF_BYTES, BytesSource, probe, sniff
from PIL import Image

HEIGHT = 400


async def test_every_file_has_one(corpus: Mapping[str, Path]) -> None:
    renderer = Renderer(max_parallel=2)
    await asyncio.gather(*(_check(renderer, path) for path in corpus.values()))
    await renderer.close()


async def _check(renderer: Renderer, path: Path) -> None:
    body = await asyncio.to_thread(path.read_bytes)
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None, path.name
    found = await probe(BytesSource(body), fmt)
    grid = await renderer.render_grid(BytesSource(body), found, RenditionSize(HEIGHT))
    picture = Image.open(io.BytesIO(grid.image.body), formats=["JPEG"])
    height = min(HEIGHT, found.height)
    assert picture.height == height, path.name
    assert picture.width == pytest.approx(found.width * height / found.height, abs=1.01), path.name
    assert not picture.getexif(), path.name
    assert "icc_profile" not in picture.info, path.name
    assert len(grid.placeholder) >= 5, path.name
