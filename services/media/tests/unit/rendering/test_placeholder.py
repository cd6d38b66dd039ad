"""The placeholder equals that of the reference implementation for the same picture."""

import io
import random

import msgspec
import pytest
from kappi_media.rendering.placeholder import thumb_hash
from kappi_media.rendering.wire import Done
from kappi_media.rendering.worker import render
from kappi_testkit.media.rendering import job_for
from kappi_testkit.media.samples import QUADRANTS, encode, quadrants
from PIL import Image
from thumbhash import (
    rgba_to_thumb_hash,
    thumb_hash_to_approximate_aspect_ratio,
    thumb_hash_to_average_rgba,
)


async def with_placeholder(body: bytes) -> Done:
    job = msgspec.structs.replace(await job_for(body), placeholder=True)
    done = render(job, lambda start, length: body[start : start + length])
    assert isinstance(done, Done), done
    return done


def average(placeholder: bytes) -> list[float]:
    """Returns red, green and blue, 0 to 1."""
    return list(thumb_hash_to_average_rgba(list(placeholder)))[:3]


@pytest.mark.parametrize("dimensions", [(300, 200), (200, 300), (200, 200), (1200, 60)])
async def test_it_has_the_pictures_colour_and_shape(dimensions: tuple[int, int]) -> None:
    width, height = dimensions
    done = await with_placeholder(encode(quadrants(width, height), "JPEG"))
    expected = [sum(colour[band] for colour in QUADRANTS) / 4 / 255 for band in range(3)]
    assert average(done.placeholder) == pytest.approx(expected, abs=0.05)
    ratio = thumb_hash_to_approximate_aspect_ratio(list(done.placeholder))
    assert (ratio > 1) == (width > height)
    assert ratio == pytest.approx(min(7, width / height), rel=0.15)


async def test_it_is_the_references_of_the_rendition_itself() -> None:
    noise = Image.frombytes("RGB", (8, 6), random.Random(4).randbytes(8 * 6 * 3))
    done = await with_placeholder(encode(noise.resize((320, 240), Image.Resampling.BICUBIC), "PNG"))
    rendition = Image.open(io.BytesIO(done.images[0].body)).convert("RGB")
    small = rendition.resize((32, 24), Image.Resampling.LANCZOS).convert("RGBA")
    reference = bytes(rgba_to_thumb_hash(32, 24, list(small.tobytes())))
    assert len(done.placeholder) == len(reference)
    differences = [
        abs(ours - theirs)
        for a, b in zip(done.placeholder[5:], reference[5:], strict=True)
        for ours, theirs in ((a & 15, b & 15), (a >> 4, b >> 4))
    ]
    # The rendition was compressed in between, and different filters made them small.
    assert max(differences) <= 2
    assert sum(differences) / len(differences) < 0.5


@pytest.mark.parametrize("dimensions", [(32, 24), (24, 32), (32, 32), (32, 2), (1, 32), (7, 5), (1, 1)])
def test_it_is_the_references_of_the_same_pixels(dimensions: tuple[int, int]) -> None:
    width, height = dimensions
    for seed in range(5):
        noise = Image.frombytes("RGB", (4, 4), random.Random(seed).randbytes(48))
        small = noise.resize((width, height), Image.Resampling.BICUBIC)
        reference = rgba_to_thumb_hash(width, height, list(small.convert("RGBA").tobytes()))
        assert thumb_hash(width, height, small.tobytes()) == bytes(reference)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
async def test_plain_pictures_have_one_too(mode: str) -> None:
    done = await with_placeholder(encode(Image.new(mode, (200, 150), "white"), "PNG"))
    assert average(done.placeholder) == pytest.approx([1, 1, 1], abs=0.03)


async def test_it_is_made_only_where_asked_for() -> None:
    body = encode(quadrants(60, 40), "JPEG")
    done = render(await job_for(body), lambda start, length: body[start : start + length])
    assert isinstance(done, Done)
    assert done.placeholder == b""
