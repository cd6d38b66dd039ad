"""Renders files with the code of a decoder process, in the test's process."""

from __future__ import annotations

import io

import msgspec
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.rendering.wire import Done, Refused, RenderJob, WireSize
from kappi_media.rendering.worker import render
from kappi_mediameta.probing import BytesSource, probe, sniff
from PIL import Image

from kappi_testkit.media.samples import QUADRANTS, Colour

HEIGHT_100 = WireSize(height=100)


async def job_for(body: bytes, *sizes: WireSize, max_pixels: int = 1_000_000) -> RenderJob:
    fmt = sniff(body[:4096])
    assert fmt is not None
    found = await probe(BytesSource(body), fmt)
    return RenderJob(
        content_type=found.content_type,
        size_bytes=len(body),
        width=found.width,
        height=found.height,
        orientation=found.orientation,
        sizes=sizes or (HEIGHT_100,),
        max_pixels=max_pixels,
    )


async def answer_for(
    body: bytes, *sizes: WireSize, max_pixels: int = 1_000_000, fmt: RenditionFormat = "jpeg"
) -> Done | Refused:
    job = msgspec.structs.replace(await job_for(body, *sizes, max_pixels=max_pixels), fmt=fmt)
    return render(job, lambda start, length: body[start : start + length])


async def rendered(body: bytes, *sizes: WireSize, fmt: RenditionFormat = "jpeg") -> list[Image.Image]:
    answer = await answer_for(body, *sizes, fmt=fmt)
    assert isinstance(answer, Done), answer
    pictures: list[Image.Image] = [
        Image.open(io.BytesIO(image.body), formats=[fmt.upper()]) for image in answer.images
    ]
    assert [(p.width, p.height) for p in pictures] == [(i.width, i.height) for i in answer.images]
    return pictures


def corners(picture: Image.Image) -> list[Colour]:
    """Returns the colour in the middle of each quarter, in the order of QUADRANTS."""
    rgb = picture.convert("RGB")
    places = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    found = [rgb.getpixel((int(picture.width * x), int(picture.height * y))) for x, y in places]
    return [(r, g, b) for r, g, b in found]  # type: ignore[misc] # RGB pixels are triples


def assert_upright(picture: Image.Image, *, tolerance: int = 25) -> None:
    for found, expected in zip(corners(picture), QUADRANTS, strict=True):
        assert all(abs(f - e) <= tolerance for f, e in zip(found, expected, strict=True)), (found, expected)
