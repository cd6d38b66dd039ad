"""Bytes after a picture's end do not change it, whatever they are."""

from __future__ import annotations

import io
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
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
from kappi_testkit.media.located_files import without_place
from kappi_testkit.media.samples import CountingSource, animation, encode, quadrants
from kappi_testkit.media.tiff import colours
from PIL import Image

FOLLOWERS: Final[Mapping[str, Callable[[int], bytes]]] = {
    "zeros": bytes,
    "text": lambda size: (b"and this is what the app wrote down: " * (size // 37 + 1))[:size],
    "noise": lambda size: random.Random(size).randbytes(size),
    "another picture": lambda size: (encode(quadrants(900, 600), "JPEG") * (size // 5_000 + 1))[:size],
}
SIZES: Final = (1, 5_000, 80_000, 1_500_000)
SMALL: Final = [RenditionSize(height=60)]
# A browser that records does not know how long its film will be, so what follows belongs to the film.
# The list of what is in a CRW is at its end.
ENDLESS: Final = frozenset({"recorded.webm", "turned-3.crw"})


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
    assert set(one_each) == set(MediaFormat) - {MediaFormat.CRW}
    for fmt, path in one_each.items():
        body = path.read_bytes()
        facts = await probe(BytesSource(body), fmt)
        alone = await renderer.render(BytesSource(body), facts, SMALL)
        for size in SIZES:
            followed = BytesSource(body + FOLLOWERS[follower](size))
            assert await renderer.render(followed, facts, SMALL) == alone, (path.name, size)


async def test_what_is_appended_to_a_file_is_not_in_a_copy_that_tells_no_place(
    corpus: Mapping[str, Path],
) -> None:
    told = b"this was taken at 48.8577 N 2.2951 E; "
    one_each = {format_of(path.read_bytes()): path for path in corpus.values() if path.name not in ENDLESS}
    for fmt, path in one_each.items():
        if fmt.is_camera_raw:  # of which there are no copies
            continue
        copy = await without_place(path.read_bytes() + told * 100)
        assert b"48.8577" not in copy, path.name
        assert await probe(BytesSource(copy), format_of(copy)), path.name


async def test_a_webp_is_shown_before_any_number_of_zeros(renderer: Renderer) -> None:
    """Each eight zeros look like an empty chunk."""
    body = encode(quadrants(72, 48), "WEBP")
    found = await probe(BytesSource(body), MediaFormat.WEBP)
    alone = await renderer.render(BytesSource(body), found, SMALL)
    assert await renderer.render(BytesSource(body + bytes(9 << 20)), found, SMALL) == alone


GIF: Final = animation("GIF", 72, 48)


@pytest.mark.parametrize(
    "body", [GIF[:-1], GIF[:-2], GIF[:-1] + bytes(3_000), GIF[:-1] + b"\x99 and so on"], ids=range(4)
)
async def test_a_gif_without_its_trailer_is_shown(renderer: Renderer, body: bytes) -> None:
    whole = await probe(BytesSource(GIF), MediaFormat.GIF)
    found = await probe(BytesSource(body), MediaFormat.GIF)
    assert (found.width, found.height, found.animated) == (whole.width, whole.height, True)
    shown = await renderer.render(BytesSource(body), found, SMALL)
    assert shown == await renderer.render(BytesSource(GIF), whole, SMALL)


async def test_a_gif_of_one_frame_without_any_end_is_shown(renderer: Renderer) -> None:
    still = encode(quadrants(72, 48), "GIF")
    assert still.endswith(b"\x00;")
    whole = await probe(BytesSource(still), MediaFormat.GIF)
    shown = await renderer.render(BytesSource(still[:-2]), whole, SMALL)
    assert await probe(BytesSource(still[:-2]), MediaFormat.GIF) == whole
    assert shown == await renderer.render(BytesSource(still), whole, SMALL)


@pytest.mark.parametrize("kept", [0.5, 0.9])
async def test_a_gif_that_ends_within_its_pixels_is_cut_off(kept: float) -> None:
    whole = encode(quadrants(72, 48), "GIF")
    with pytest.raises(ProbeRejected) as refused:
        await probe(BytesSource(whole[: int(len(whole) * kept)]), MediaFormat.GIF)
    assert refused.value.reason is RejectReason.TRUNCATED


@pytest.mark.parametrize("frames", [40, 1])
async def test_a_large_gif_with_much_behind_its_trailer(frames: int) -> None:
    """The file is longer than what is read of it: its end shows whether it is truncated."""
    noise = [Image.effect_noise((2_400 // frames, 1_800), 90).convert("P") for _ in range(frames)]
    out = io.BytesIO()
    noise[0].save(out, "GIF", save_all=True, append_images=noise[1:])
    whole = out.getvalue()
    assert len(whole) > 3 << 20
    assert (await probe(BytesSource(whole + bytes(200_000)), MediaFormat.GIF)).height == 1_800
    if frames == 1:
        with pytest.raises(ProbeRejected) as refused:
            await probe(BytesSource(whole[: len(whole) // 4 * 3]), MediaFormat.GIF)
        assert refused.value.reason is RejectReason.TRUNCATED


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "damage", [b"\x00\x00", b"\xff\x20", b"\xff\xd0", b""], ids=lambda damage: damage.hex()
)
async def test_damaged_restart_markers_cost_no_more_than_in_browsers(
    renderer: Renderer, progressive: bool, damage: bytes
) -> None:
    """libjpeg-turbo, which browsers and Pillow use, continues at the next marker."""
    picture = Image.fromarray(colours()).resize((640, 480))
    body = encode(picture, "JPEG", options={"restart_marker_rows": 1, "progressive": progressive})
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", body)]
    for at in reversed(marks[3::3]):
        body = body[:at] + damage + body[at + 2 :]
    facts = await probe(BytesSource(body), MediaFormat.JPEG)
    (shown,) = await renderer.render(BytesSource(body), facts, [RenditionSize(height=480)])
    with Image.open(io.BytesIO(body)) as theirs:
        expected = np.asarray(theirs.convert("RGB"), "f8")
    found = np.asarray(Image.open(io.BytesIO(shown.body)).convert("RGB"), "f8")
    assert np.abs(found - expected).mean() < 4


def long_jpeg(scan_bytes: int) -> bytes:
    """Returns a JPEG with more scan data than its pixels need, which header readers accept."""
    body = encode(quadrants(60, 40), "JPEG")
    scan_at = body.index(b"\xff\xda") + 14
    noise = random.Random(5).randbytes(scan_bytes).replace(b"\xff", b"\xff\x00")
    return body[:scan_at] + noise + b"\xff\xd9"


@pytest.mark.parametrize("scan_bytes", [100_000, 5_000_000, 12_000_000])
async def test_zeros_behind_a_long_scan_are_no_scan(scan_bytes: int) -> None:
    body = long_jpeg(scan_bytes)
    source = CountingSource(body + bytes(300_000))
    assert (await probe(source, MediaFormat.JPEG)).width == 60
    assert sum(source.reads) < 10 << 20
    with pytest.raises(ProbeRejected) as refused:
        await probe(BytesSource(body[:-50]), MediaFormat.JPEG)
    assert refused.value.reason is RejectReason.TRUNCATED
