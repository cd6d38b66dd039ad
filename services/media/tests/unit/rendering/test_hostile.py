"""Hostile files of the formats with large decoders, through the confined process: each affects only
itself.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import struct
from collections.abc import AsyncIterator

import av
import pytest
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendering.sizes import RenditionSize
from kappi_mediameta.probing import BytesSource, Probe, RejectReason, RenderRejected
from kappi_testkit.media.newer_jpegs import JxlBits, located_jp2, located_jxl
from kappi_testkit.media.samples import (
    Shot,
    encode,
    mutations,
    quadrants,
    register_heif,
    scheduled_as_before,
)
from PIL import Image

SMALL = (RenditionSize(height=50),)
MUTATIONS = 60
DAMAGED = {RejectReason.CORRUPT, RejectReason.TRUNCATED, RejectReason.NO_PICTURE}


def claimed(content_type: str, *, width: int = 300, height: int = 200) -> Probe:
    """Returns the facts of a prober that was deceived."""
    return Probe(
        kind="video" if content_type.startswith("video/") else "image",
        content_type=content_type,
        width=width,
        height=height,
        orientation=1,
        codec="",
        animated=False,
        duration_ms=None,
        taken_at=None,
        taken_offset_known=False,
        camera=None,
        location=None,
    )


@scheduled_as_before()
def film(container: str, codec: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_image(quadrants(160, 96))  # type: ignore[no-untyped-call] # its stub lacks types
            muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return out.getvalue()


def still(fmt: str, width: int = 300, height: int = 200) -> bytes:
    register_heif()
    options = {"compression": "tiff_adobe_deflate"} if fmt == "TIFF" else {}
    return encode(quadrants(width, height), fmt, options=options)


GOOD = {
    "image/heic": lambda: still("HEIF"),
    "image/avif": lambda: still("AVIF"),
    "image/tiff": lambda: still("TIFF"),
    "image/jxl": lambda: located_jxl(quadrants(300, 200), Shot()),
    "image/jp2": lambda: located_jp2(quadrants(300, 200), Shot()),
    "video/webm": lambda: film("webm", "libvpx-vp9"),
    "video/x-matroska": lambda: film("matroska", "libx265"),
    "video/mp4": lambda: film("mp4", "libsvtav1"),
    "video/x-msvideo": lambda: film("avi", "mpeg4"),
    "video/mp2t": lambda: film("mpegts", "libx264"),
    "video/x-ms-wmv": lambda: film("asf", "wmv2"),
}


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer(max_parallel=2)
    yield renderer
    await renderer.close()


async def refusal(renderer: Renderer, body: bytes, probe: Probe) -> RejectReason:
    with pytest.raises(RenderRejected) as refused:
        await renderer.render(BytesSource(body), probe, SMALL)
    return refused.value.reason


async def still_works(renderer: Renderer) -> None:
    (image,) = await renderer.render(BytesSource(still("JPEG")), claimed("image/jpeg"), SMALL)
    assert image.height == 50


@pytest.mark.parametrize(("fmt", "content_type"), [("HEIF", "image/heic"), ("AVIF", "image/avif")])
async def test_a_picture_that_says_it_is_huge_is_not_begun(
    renderer: Renderer, fmt: str, content_type: str
) -> None:
    body = still(fmt)
    honest, huge = (
        struct.pack(">4s3I", b"ispe", 0, 300, 200),
        struct.pack(">4s3I", b"ispe", 0, 30_000, 30_000),
    )
    assert honest in body
    reason = await refusal(renderer, body.replace(honest, huge), claimed(content_type))
    assert reason is RejectReason.TOO_MANY_PIXELS
    await still_works(renderer)


async def test_a_tiff_bomb_is_refused_by_its_header(renderer: Renderer) -> None:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "TIFF", compression="group4")
    assert len(out.getvalue()) < 1 << 20
    reason = await refusal(renderer, out.getvalue(), claimed("image/tiff"))
    assert reason is RejectReason.TOO_MANY_PIXELS


async def test_newer_jpegs_that_say_they_are_huge_are_not_begun(renderer: Renderer) -> None:
    wide = JxlBits().put((0, 1), (3, 2), (29_999, 30), (0, 3), (3, 2), (29_999, 30), (1, 1)).codestream()
    assert await refusal(renderer, wide, claimed("image/jxl")) is RejectReason.TOO_MANY_PIXELS
    size = struct.pack(">II", 300, 200)
    jp2 = encode(quadrants(300, 200), "JPEG2000", options={"no_jp2": True})
    assert jp2.count(size) >= 1
    huge = jp2.replace(size, struct.pack(">II", 30_000, 30_000), 1)
    assert await refusal(renderer, huge, claimed("image/jp2")) is RejectReason.TOO_MANY_PIXELS
    await still_works(renderer)


async def test_a_picture_that_needs_more_memory_than_there_is() -> None:
    body = encode(Image.new("RGB", (6_000, 4_000)), "AVIF", options={"speed": 10})
    probe = claimed("image/avif", width=6_000, height=4_000)
    cramped = Renderer(limits=RenderLimits(memory_bytes=330 << 20))
    assert await refusal(cramped, body, probe) in (RejectReason.TOO_COMPLEX, RejectReason.CORRUPT)
    await still_works(cramped)
    await cramped.close()
    roomy = Renderer()
    assert len(await roomy.render(BytesSource(body), probe, SMALL)) == 1
    await roomy.close()


@pytest.mark.parametrize("content_type", GOOD)
async def test_half_a_file_is_shown_or_refused(renderer: Renderer, content_type: str) -> None:
    body = GOOD[content_type]()
    for kept in (len(body) // 2, len(body) // 10, 40):
        try:
            await renderer.render(BytesSource(body[:kept]), claimed(content_type), SMALL)
        except RenderRejected as refused:
            assert refused.reason in DAMAGED  # noqa: PT017
    assert len(await renderer.render(BytesSource(body), claimed(content_type), SMALL)) == 1


@pytest.mark.parametrize("content_type", GOOD)
async def test_a_header_before_noise(renderer: Renderer, content_type: str) -> None:
    body = GOOD[content_type]()[:64] + random.Random(7).randbytes(200_000)
    reason = await refusal(renderer, body, claimed(content_type))
    assert reason in DAMAGED | {RejectReason.UNSUPPORTED_TYPE}
    await still_works(renderer)


@pytest.mark.parametrize("content_type", GOOD)
async def test_damage_ends_in_a_picture_or_in_a_refusal(renderer: Renderer, content_type: str) -> None:
    body = GOOD[content_type]()

    async def outcome(damaged: bytes) -> str:
        try:
            await renderer.render(BytesSource(damaged), claimed(content_type), SMALL)
        except RenderRejected:
            return "refused"
        return "shown"

    async with asyncio.timeout(120):
        outcomes = await asyncio.gather(*map(outcome, mutations(body, seed=17, count=MUTATIONS)))
    assert set(outcomes) == {"shown", "refused"}
    await still_works(renderer)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"])
async def test_a_reason_never_quotes_a_library(renderer: Renderer, fmt: str) -> None:
    """A library's message may quote the file, or name its own parts and Python's."""
    register_heif()
    content_type = f"image/{'heic' if fmt == 'HEIF' else fmt.lower()}"
    body = encode(quadrants(300, 200), fmt)
    details = set()
    for damaged in mutations(body, seed=21, count=MUTATIONS):
        try:
            await renderer.render(BytesSource(damaged), claimed(content_type), SMALL)
        except RenderRejected as refused:
            details.add(refused.detail)
    assert details
    said = " ".join(details)
    assert not re.search(r"vips|Vips|Error|Errno|codec|0x|\bb'|libtiff|unable to call|Traceback", said), said
