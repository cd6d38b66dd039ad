"""Places are searched in a process in which a malicious file, which occupies or kills its reader, costs one
item.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.wire import Located, Result
from kappi_mediameta.gps_free.edits import Patch, Unremovable
from kappi_mediameta.gps_free.find import find_location
from kappi_mediameta.probing import BytesSource
from kappi_testkit.media.samples import Shot, encode, quadrants

PLACED = encode(quadrants(64, 48), "JPEG", shot=Shot(place=(48.8577, 2.295, 35.0)))
FILM = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=1)
    yield renderer
    await renderer.close()


def boxed(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


async def test_the_patches_are_those_found_in_the_service(renderer: Renderer) -> None:
    found = await renderer.find_location(BytesSource(PLACED))
    assert found
    assert found == await find_location(BytesSource(PLACED))


async def test_boxes_nested_without_an_end_cost_the_file_and_nobody_else(renderer: Renderer) -> None:
    nested = b""
    for _ in range(20_000):
        nested = boxed(b"moov", nested)
    with pytest.raises(Unremovable):
        await renderer.find_location(BytesSource(PLACED + FILM + nested))
    assert await renderer.find_location(BytesSource(PLACED))


async def test_a_file_that_keeps_its_reader_busy_is_given_up() -> None:
    """Each of many overwritten boxes makes reading the next a little slower. Only decoders have a limit."""
    busy = boxed(b"moov", boxed(b"udta", boxed(b"loci", b"place123") * 19_000))
    renderer = Renderer(limits=RenderLimits(probe_time=timedelta(seconds=1)))
    with pytest.raises(Unremovable, match="time limit"):
        await renderer.find_location(BytesSource(PLACED + FILM + busy))
    await renderer.close()


@pytest.mark.parametrize(
    "patch", [Patch(-1, 1, None), Patch(0, 10_000, None), Patch(0, 2, b"abc"), Patch(5, -1, None)]
)
async def test_patches_that_fit_no_file_of_its_size_are_refused(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, patch: Patch
) -> None:
    async def lying(*_: object, **__: object) -> Result:
        return Located((patch,))

    monkeypatch.setattr(renderer, "_run", lying)
    with pytest.raises(Unremovable):
        await renderer.find_location(BytesSource(b"\xff\xd8" * 10))
