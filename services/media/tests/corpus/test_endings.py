"""What follows a picture's end changes nothing of it: any amount of anything."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from kappi_media.probing import (
    SNIFF_BYTES,
    BytesSource,
    MediaFormat,
    ProbeRejected,
    probe,
    sniff,
)
from kappi_media.rendering.renderer import Renderer
from kappi_media.rendering.sizes import RenditionSize
from kappi_media.testing.samples import encode, quadrants

FOLLOWERS: Final = {
    "zeros": lambda size: bytes(size),
    "text": lambda size: (b"and this is what the app wrote down: " * (size // 37 + 1))[:size],
    "noise": lambda size: random.Random(size).randbytes(size),
    "another picture": lambda size: (encode(quadrants(900, 600), "JPEG") * (size // 5_000 + 1))[:size],
}
SIZES: Final = (1, 5_000, 80_000, 1_500_000)
SMALL: Final = [RenditionSize(height=60)]
# A browser that records does not know how long its film will be: what follows is of the film.
ENDLESS: Final = frozenset({"recorded.webm"})


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=2)
    yield renderer
    await renderer.close()


def format_of(body: bytes) -> MediaFormat:
    fmt = sniff(body[:SNIFF_BYTES])
    assert fmt is not None
    return fmt


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("follower", FOLLOWERS)
async def test_every_file_is_read_as_without(corpus: Mapping[str, Path], follower: str, size: int) -> None:
    differ = {}
    for name, path in corpus.items():
        body = path.read_bytes()
        alone = await probe(BytesSource(body), format_of(body))
        try:
            found = await probe(BytesSource(body + FOLLOWERS[follower](size)), format_of(body))
        except ProbeRejected as refused:
            differ[name] = str(refused)
            continue
        if found != alone:
            differ[name] = str(found)
    assert {name: how for name, how in differ.items() if name not in ENDLESS} == {}


@pytest.mark.parametrize("follower", FOLLOWERS)
async def test_every_format_is_shown_as_without(
    corpus: Mapping[str, Path], renderer: Renderer, follower: str
) -> None:
    one_each = {format_of(path.read_bytes()): path for path in corpus.values() if path.name not in ENDLESS}
    assert set(one_each) == set(MediaFormat)
    for fmt, path in one_each.items():
        body = path.read_bytes()
        facts = await probe(BytesSource(body), fmt)
        alone = await renderer.render(BytesSource(body), facts, SMALL)
        for size in SIZES:
            followed = BytesSource(body + FOLLOWERS[follower](size))
            assert await renderer.render(followed, facts, SMALL) == alone, (path.name, size)
