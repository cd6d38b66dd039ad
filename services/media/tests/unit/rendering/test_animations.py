"""Animated pictures stay animated if WebP is requested, with the code that a decoder process runs."""

from __future__ import annotations

import io
from typing import Literal

import pytest
import pyvips
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.rendering import animation as module
from kappi_media.rendering.wire import WireSize
from kappi_testkit.media.rendering import assert_upright, rendered
from kappi_testkit.media.samples import animation, encode, quadrants
from PIL import Image

FMT: RenditionFormat = "webp"
LOW = WireSize(height=100)


def without_last_frame(png: bytes) -> bytes:
    return png[: png.rindex(b"fcTL") - 4] + png[png.index(b"IEND") - 4 :]


def frames(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_all_frames_are_shown_for_their_time(fmt: Literal["GIF", "WEBP", "PNG", "AVIF"]) -> None:
    (picture,) = await rendered(animation(fmt, 300, 200), LOW, fmt=FMT)
    assert (picture.size, frames(picture)) == ((150, 100), 3)
    assert_upright(picture, tolerance=40)
    picture.seek(1)
    assert picture.convert("RGB").getpixel((75, 50)) == (255, 255, 255)
    assert picture.info["duration"] == 80
    (large,) = await rendered(animation(fmt, 300, 200), WireSize(height=2048), fmt=FMT)
    assert (large.size, frames(large)) == ((300, 200), 3), "never enlarged"


@pytest.mark.parametrize(
    ("body", "size", "fmt"),
    [
        (animation("GIF", 300, 200), LOW, "jpeg"),
        (animation("GIF", 300, 200), WireSize(height=90, cover_width=90), FMT),
        (encode(quadrants(300, 200), "GIF"), LOW, FMT),
        (encode(quadrants(300, 200), "WEBP"), LOW, FMT),
        (encode(quadrants(300, 200), "PNG"), LOW, FMT),
        (encode(quadrants(300, 200), "AVIF"), LOW, FMT),
        (animation("PNG", 300, 200), LOW, "jpeg"),
        (animation("AVIF", 300, 200), WireSize(height=90, cover_width=90), FMT),
        (without_last_frame(animation("PNG", 300, 200)), LOW, FMT),
    ],
    ids=["jpeg", "cover", "one frame", "still webp", "still png", "still avif", "png", "avif", "cut off"],
)
async def test_else_it_is_the_first_frame(body: bytes, size: WireSize, fmt: RenditionFormat) -> None:
    (picture,) = await rendered(body, size, fmt=fmt)
    assert frames(picture) == 1
    assert_upright(picture, tolerance=40)


async def test_one_with_too_many_pixels_in_its_frames_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SHOWN_PIXELS", 3 * 150 * 100 - 1)
    (picture,) = await rendered(animation("GIF", 300, 200), LOW, fmt=FMT)
    assert (picture.size, frames(picture)) == ((150, 100), 1)


@pytest.mark.parametrize("fmt", ["PNG", "AVIF"])
async def test_an_animation_is_shown_upright_in_srgb_on_white(fmt: Literal["PNG", "AVIF"]) -> None:
    clear = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    turned, display_p3 = Image.Exif(), bytes(pyvips.Operation.call("profile_load", "p3"))
    turned[0x0112] = 6
    out = io.BytesIO()
    red = Image.new("RGBA", (300, 200), (200, 60, 60, 255))
    # Pillow crashes when it writes a rotated AVIF with several frames.
    options = {"icc_profile": display_p3} | ({"exif": turned} if fmt == "PNG" else {})
    clear.save(out, fmt, save_all=True, append_images=[red], duration=[80, 240], **options)
    (picture,) = await rendered(out.getvalue(), WireSize(height=150), fmt=FMT)
    assert (picture.size, frames(picture)) == ((100, 150) if fmt == "PNG" else (225, 150), 2)
    assert picture.convert("RGB").getpixel((50, 75)) == (255, 255, 255)
    picture.seek(1)
    picture.load()
    assert picture.info["duration"] == 240
    shown = picture.convert("RGB").getpixel((50, 75))
    assert isinstance(shown, tuple)
    assert shown[0] > 210, "more red than sRGB's 200: the profile was heeded"
