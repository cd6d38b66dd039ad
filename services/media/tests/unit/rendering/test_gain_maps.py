"""A HEIC or AVIF with a gain map keeps its whole range in AVIF, and is its base picture in other formats."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pillow_heif
import pytest
import pyvips
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.rendering.wire import Done, WireSize
from kappi_testkit.media.containers import irot
from kappi_testkit.media.gain_maps import (
    GainNumbers,
    apple,
    apple_applied,
    base_picture,
    exif_with,
    gains_picture,
    maker_note,
    toned,
)
from kappi_testkit.media.heif import Coding, coded, grid, heif
from kappi_testkit.media.high_range import BT_709, BT_2020, DISPLAY_P3, PQ, Light, in_pq
from kappi_testkit.media.rendering import answer_for
from PIL import Image

WHOLE: Final = WireSize(height=160)
CODINGS: Final[tuple[Coding, ...]] = ("HEIF", "AVIF")
_TO_2020: Final = {
    BT_709: np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]),
    DISPLAY_P3: np.array([[0.7538, 0.1986, 0.0476], [0.0457, 0.9418, 0.0125], [-0.0012, 0.0176, 0.9836]]),
    BT_2020: np.eye(3),
}
ONE: Final = GainNumbers()
THREE: Final = GainNumbers(
    least=(-0.5, 0.0, 0.25),
    most=(1.0, 2.0, 3.0),
    gamma=(1.0, 0.5, 2.0),
    before=(0.01, 0.02, 0.03),
    after=(0.03, 0.02, 0.01),
)
_each_coding = pytest.mark.parametrize("coding", CODINGS)


async def body_of(original: bytes, size: WireSize = WHOLE, fmt: RenditionFormat = "avif") -> bytes:
    answer = await answer_for(original, size, fmt=fmt)
    assert isinstance(answer, Done), answer
    return answer.images[0].body


def light_of(picture: Image.Image) -> Light:
    signal = np.asarray(picture.convert("RGB"), "f8") / 255
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def gains_of(channels: int = 1) -> Light:
    """Returns the gains of each pixel of the picture."""
    large = gains_picture(channels=channels).resize((240, 160), Image.Resampling.BILINEAR)
    return np.asarray(large.convert("RGB"), "f8") / 255


def has_range(body: bytes) -> bool:
    numbers: dict[str, Any] = pillow_heif.open_heif(body).info.get("nclx_profile") or {}
    return numbers.get("transfer_characteristics") == PQ


def assert_shows(body: bytes, light: Light) -> None:
    """Asserts that an AVIF shows this light, in BT.2020 with white as 1.0, apart from its coding."""
    assert has_range(body)
    image = pyvips.Image.new_from_buffer(body, "")
    found, right = np.asarray(image.numpy(), "f8") / 65_535 * 255, in_pq(np.maximum(light, 0)) * 255
    difference = np.abs(found - right)
    assert abs(found.mean() - right.mean()) < 1
    assert difference.mean() < 2
    assert np.percentile(difference, 99) < 4


@_each_coding
@pytest.mark.parametrize("numbers", [ONE, THREE])
async def test_gains_of_the_standard_are_applied(coding: Coding, numbers: GainNumbers) -> None:
    channels = len(numbers.least)
    gains = coded(gains_picture(channels=channels), coding)
    body = await body_of(toned(coding, numbers=numbers, gains=gains))
    light = numbers.applied(light_of(base_picture()), gains_of(channels))
    assert_shows(body, light @ _TO_2020[BT_709].T)
    flat = in_pq(light_of(base_picture()) @ _TO_2020[BT_709].T) * 255
    assert np.abs(flat - in_pq(np.maximum(light, 0)) * 255).mean() > 8, "the trial would not notice no gains"


@pytest.mark.parametrize(
    ("primaries", "colours"),
    [(DISPLAY_P3, None), (BT_709, DISPLAY_P3), (BT_709, BT_2020), (DISPLAY_P3, BT_2020), (BT_2020, BT_2020)],
)
async def test_gains_are_applied_in_the_colours_that_they_are_for(
    primaries: int, colours: int | None
) -> None:
    numbers = replace(ONE, colours=colours)
    body = await body_of(toned("AVIF", numbers=numbers, primaries=primaries))
    wanted = colours or primaries
    light = light_of(base_picture()) @ _TO_2020[primaries].T @ np.linalg.inv(_TO_2020[wanted]).T
    assert_shows(body, numbers.applied(light, gains_of()) @ _TO_2020[wanted].T)


@pytest.mark.parametrize("tiles", [1, 2])
async def test_gains_of_phones_are_applied(tiles: int) -> None:
    body = await body_of(apple(headroom=4.5, tiles=tiles))
    light = apple_applied(light_of(base_picture()), gains_of(), headroom=4.5)
    assert_shows(body, light @ _TO_2020[BT_709].T)


@pytest.mark.parametrize(
    ("note", "stops"),
    [
        (((5, 10), (5, 1000)), 1.8 - 20 * 0.005),
        (((5, 10), (5, 10)), 1.601 - 0.101 * 0.5),
        (((12, 10), (5, 1000)), 3.0 - 70 * 0.005),
        (((12, 10), (5, 10)), 2.303 - 0.303 * 0.5),
    ],
)
async def test_the_headroom_may_be_in_the_maker_note(
    note: tuple[tuple[int, int], tuple[int, int]], stops: float
) -> None:
    body = await body_of(apple(headroom=None, exif=exif_with(maker_note(*note))))
    light = apple_applied(light_of(base_picture()), gains_of(), headroom=2**stops)
    assert_shows(body, light @ _TO_2020[BT_709].T)


@_each_coding
async def test_a_map_of_tiles(coding: Coding) -> None:
    gains = gains_picture()
    halves = [coded(gains.crop((left, 0, left + 96, 128)), coding) for left in (0, 96)]
    body = toned(coding, numbers=ONE, gains=grid(2, 1, gains.size, tiles=(4, 5)), more=halves)
    light = ONE.applied(light_of(base_picture()), gains_of())
    assert_shows(await body_of(body), light @ _TO_2020[BT_709].T)


@_each_coding
async def test_a_turned_picture_has_turned_gains(coding: Coding) -> None:
    body = await body_of(toned(coding, numbers=ONE, turns=(irot(1),)), WireSize(height=240))
    light = ONE.applied(light_of(base_picture()), gains_of())
    assert_shows(body, np.rot90(light @ _TO_2020[BT_709].T))


@_each_coding
async def test_a_smaller_rendition_has_the_same_light(coding: Coding) -> None:
    body = await body_of(toned(coding, numbers=ONE), WireSize(height=40))
    light = ONE.applied(light_of(base_picture()), gains_of()).reshape(40, 4, 60, 4, 3).mean((1, 3))
    assert_shows(body, light @ _TO_2020[BT_709].T)


@_each_coding
@pytest.mark.parametrize("fmt", ["jpeg", "webp"])
async def test_other_formats_show_the_base_picture(coding: Coding, fmt: RenditionFormat) -> None:
    body = await body_of(toned(coding, numbers=ONE), fmt=fmt)
    with Image.open(io.BytesIO(body)) as picture:
        found = np.asarray(picture.convert("RGB"), "f8")
    assert np.abs(found - np.asarray(base_picture(), "f8")).mean() < 3


async def test_a_map_that_is_named_as_the_picture_stands_for_its_base() -> None:
    original = toned("AVIF", numbers=ONE, primary=3)
    assert has_range(await body_of(original))
    with Image.open(io.BytesIO(await body_of(original, fmt="jpeg"))) as picture:
        assert picture.size == (240, 160)


_BODY: Final = ONE.body()
DAMAGED: Final = {
    "nothing": b"",
    "cut": _BODY[:-1],
    "longer": _BODY + b"\x00",
    "another version": b"\x01" + _BODY[1:],
    "a later version": b"\x00\x00\x01" + _BODY[3:],
    "three channels": _BODY[:5] + b"\xc0" + _BODY[6:],
    "parts of zero": _BODY[:-4] + bytes(4),
    "a base that is brighter": replace(ONE, headrooms=(2.0, 0.0)).body(),
    "no headroom": replace(ONE, headrooms=(2.0, 2.0)).body(),
    "less than the least": replace(ONE, least=(2.0,), most=(1.0,)).body(),
    "more stops than light has": replace(ONE, most=(90.0,)).body(),
    "a power of zero": replace(ONE, gamma=(0.0,)).body(),
}


@_each_coding
@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED.keys())
async def test_damaged_numbers_leave_the_base_picture(coding: Coding, body: bytes) -> None:
    await assert_base_is_shown(toned(coding, numbers=body))


async def assert_base_is_shown(original: bytes) -> None:
    body = await body_of(original)
    assert not has_range(body)
    with Image.open(io.BytesIO(body)) as picture:
        found = np.asarray(picture.convert("RGB"), "f8")
    assert np.abs(found - np.asarray(base_picture(), "f8")).mean() < 4


@_each_coding
async def test_damaged_gains_leave_the_base_picture(coding: Coding) -> None:
    gains = coded(gains_picture(), coding)
    for data in (b"", bytes(40), gains.data[: len(gains.data) // 3]):
        await assert_base_is_shown(toned(coding, numbers=ONE, gains=replace(gains, data=data)))


@_each_coding
async def test_gains_with_more_pixels_than_the_picture_are_not_decoded(coding: Coding) -> None:
    gains = coded(gains_picture(480, 320), coding)
    await assert_base_is_shown(toned(coding, numbers=ONE, gains=gains))


@_each_coding
async def test_gains_of_another_coding_or_none_leave_the_base_picture(coding: Coding) -> None:
    other = coded(gains_picture(), "HEIF" if coding == "AVIF" else "AVIF")
    await assert_base_is_shown(toned(coding, numbers=ONE, gains=replace(other, kind=b"jpeg")))
    base = coded(base_picture(), coding)
    await assert_base_is_shown(heif([(1, base)], primary=1))


async def test_colours_that_no_formula_leads_to_leave_the_base_picture() -> None:
    await assert_base_is_shown(toned("AVIF", numbers=replace(ONE, colours=5)))
    narrow = toned("AVIF", numbers=replace(ONE, colours=BT_709), primaries=BT_2020)
    assert not has_range(await body_of(narrow))


@pytest.mark.parametrize(
    "original",
    [
        apple(headroom=None),
        apple(headroom=1.0),
        apple(headroom=4.0, version=0),
        apple(headroom=None, exif=exif_with(maker_note((1, 0), (1, 0)))),
        apple(headroom=None, exif=exif_with(b"Apple iOS\x00\x00\x01MM\x00\x09")),
    ],
    ids=["no headroom", "no more than white", "no version", "parts of zero", "cut"],
)
async def test_gains_of_phones_without_a_headroom_leave_the_base_picture(original: bytes) -> None:
    await assert_base_is_shown(original)
