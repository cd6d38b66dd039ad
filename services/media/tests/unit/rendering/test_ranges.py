"""Renditions keep what their format can show of an original's range and colours, and show the rest well."""

from __future__ import annotations

import io
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
import pyvips
from kappi_contracts.rendition_formats import RenditionFormat
from kappi_media.rendering import colour
from kappi_media.rendering.profiles import display_p3, is_wide
from kappi_media.rendering.ultra_hdr import whole_range
from kappi_media.rendering.wire import Done, WireSize
from kappi_testkit.media.high_range import (
    BT_709,
    BT_2020,
    DISPLAY_P3,
    HLG,
    PQ,
    deep_heic,
    deep_png,
    in_pq,
    of_pq,
    scene,
    tone_mapped,
)
from kappi_testkit.media.rendering import answer_for, rendered
from kappi_testkit.media.samples import encode, register_heif
from PIL import Image, ImageCms

WHOLE: Final = WireSize(height=160)
SRGB_TRANSFER: Final = 13
ORIGINALS: Final = {"PNG": deep_png, "HEIC": deep_heic}
SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


async def body_of(original: bytes, size: WireSize = WHOLE, fmt: RenditionFormat = "avif") -> bytes:
    answer = await answer_for(original, size, fmt=fmt)
    assert isinstance(answer, Done), answer
    return answer.images[0].body


def frame_of(body: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(body), "r") as opened:
        return next(opened.decode(video=0))


def signals(body: bytes) -> npt.NDArray[np.float64]:
    image = pyvips.Image.new_from_buffer(body, "")
    assert image.format == "ushort"
    return np.asarray(image.numpy(), "f8") / 65_535


# High dynamic range


@pytest.mark.parametrize("original", ORIGINALS)
@pytest.mark.parametrize("transfer", [PQ, HLG])
async def test_an_avif_keeps_the_range(original: str, transfer: int) -> None:
    """FFmpeg reads the numbers of the AV1 sequence, libheif those of the box."""
    signal = in_pq(scene())
    body = await body_of(ORIGINALS[original](signal, primaries=BT_2020, transfer=transfer))
    frame = frame_of(body)
    assert (frame.color_primaries, frame.color_trc) == (BT_2020, transfer)
    assert frame.format.components[0].bits == 10
    numbers = pillow_heif.open_heif(body).info["nclx_profile"]
    assert (numbers["color_primaries"], numbers["transfer_characteristics"]) == (BT_2020, transfer)
    difference = np.abs(signals(body) - signal)
    assert difference.mean() < 0.01
    assert np.abs(of_pq(signals(body)) - of_pq(signal)).mean() / of_pq(signal).mean() < 0.05


@pytest.mark.parametrize("original", ORIGINALS)
@pytest.mark.parametrize("fmt", ["jpeg", "webp"])
async def test_formats_without_the_range_are_tone_mapped(original: str, fmt: RenditionFormat) -> None:
    light = scene()
    body = ORIGINALS[original](in_pq(light), primaries=BT_2020, transfer=PQ)
    (picture,) = await rendered(body, WHOLE, fmt=fmt)
    found, right = np.asarray(picture.convert("RGB"), "f8"), tone_mapped(light).astype("f8")
    assert abs(found.mean() - right.mean()) < 2
    assert np.abs(found - right).mean() < 4
    assert structure(found, right) > 0.99
    flat = in_pq(light) * 255
    assert np.abs(flat - right).mean() > 20, "the trial would not notice a picture that is washed out"


def structure(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Returns the correlation of brightness, 1 for the same structure."""
    return float(np.corrcoef(one.mean(axis=-1).ravel(), other.mean(axis=-1).ravel())[0, 1])


async def test_dark_shades_have_more_than_eight_bits_of_steps() -> None:
    """Eight bits of PQ have steps that are seen in dark parts."""
    shades = np.broadcast_to(np.linspace(0.1, 0.3, 240)[None, :, None], (160, 240, 3))
    (picture,) = await rendered(deep_png(shades, primaries=BT_2020, transfer=PQ), WHOLE)
    row = np.asarray(picture.convert("L"), "i4")[80]
    eight_bits = len(np.unique(np.rint(shades[0, :, 0] * 255)))
    assert len(np.unique(row)) >= min(eight_bits, 40)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(WireSize(height=60), (90, 60)), (WireSize(height=100, cover_width=100), (100, 100))],
)
async def test_sizes_are_those_of_any_rendition(size: WireSize, expected: tuple[int, int]) -> None:
    signal = in_pq(scene())
    body = await body_of(deep_png(signal, primaries=BT_2020, transfer=PQ), size)
    found = signals(body)
    assert (found.shape[1], found.shape[0]) == expected
    assert abs(found.mean() - signal.mean()) < 0.03
    assert frame_of(body).color_trc == PQ


async def test_such_a_picture_is_upright() -> None:
    signal = in_pq(scene())
    exif = Image.Exif()
    exif[274] = 6
    body = await body_of(deep_heic(signal, primaries=BT_2020, transfer=PQ, exif=exif.tobytes()))
    turned = np.rot90(signal, -1)
    found = signals(body)
    assert found.shape[0] == 160
    assert found.shape[1] < 160
    assert found[:20].mean() == pytest.approx(turned[:20].mean(), abs=0.02)


# Wide gamuts

RED: Final = Image.new("RGB", (120, 80), (255, 0, 0))


@pytest.mark.parametrize("original", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF"])
async def test_colours_of_display_p3_stay_where_the_format_is_new(original: str) -> None:
    register_heif()
    options: dict[str, Any] = {"icc_profile": display_p3()}
    body = encode(RED, original, options=options)
    for fmt in ("webp", "avif"):
        (picture,) = await rendered(body, WireSize(height=80), fmt=fmt)
        assert picture.info.get("icc_profile") == display_p3()
        assert picture.convert("RGB").getpixel((60, 40)) == pytest.approx((255, 0, 0), abs=8)
    (old,) = await rendered(body, WireSize(height=80), fmt="jpeg")
    assert "icc_profile" not in old.info


@pytest.mark.parametrize("profile", [None, SRGB, b"no profile at all"])
async def test_a_picture_without_wide_colours_gets_no_profile(profile: bytes | None) -> None:
    body = encode(RED, "PNG", options={"icc_profile": profile} if profile else {})
    for fmt in ("jpeg", "webp", "avif"):
        (picture,) = await rendered(body, WireSize(height=80), fmt=fmt)
        assert "icc_profile" not in picture.info


@pytest.mark.parametrize(("primaries", "kept"), [(DISPLAY_P3, True), (BT_2020, False), (BT_709, False)])
async def test_wide_colours_by_numbers(primaries: int, kept: bool) -> None:
    signal = np.broadcast_to(np.array([0.9, 0.1, 0.1]), (80, 120, 3))
    body = deep_png(signal, primaries=primaries, transfer=SRGB_TRANSFER)
    (picture,) = await rendered(body, WireSize(height=80), fmt="webp")
    assert ("icc_profile" in picture.info) is kept


@pytest.mark.parametrize("cut", [0, 100, 128, 131, 200, 400])
def test_a_profile_that_is_cut_off_is_not_wide(cut: int) -> None:
    assert is_wide(display_p3())
    assert not is_wide(display_p3()[:cut])


# Gain maps (Ultra HDR)

_TO_2020: Final = {
    BT_709: np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]),
    DISPLAY_P3: np.array([[0.7538, 0.1986, 0.0476], [0.0457, 0.9418, 0.0125], [-0.0012, 0.0176, 0.9836]]),
}


def ultra_hdr(light: npt.NDArray[np.float64], *, orientation: int = 1) -> bytes:
    """Returns a JPEG with a gain map, by libultrahdr. light: in BT.709."""
    image = pyvips.Image.new_from_array(light.astype("f4")).copy(interpretation="scrgb")
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return bytes(image.uhdrsave_buffer(Q=95))


@pytest.mark.parametrize("orientation", [1, 6])
async def test_a_gain_map_is_applied_in_avif(orientation: int) -> None:
    body = await body_of(ultra_hdr(scene(), orientation=orientation))
    frame = frame_of(body)
    assert (frame.color_primaries, frame.color_trc) == (BT_2020, PQ)
    found = of_pq(signals(body))
    right = scene() @ _TO_2020[BT_709].T
    if orientation == 6:
        right = np.rot90(right, -1)
        assert found.shape[0] == 160
        assert found.mean() == pytest.approx(right.mean(), rel=0.05)
        assert found[:20].mean() == pytest.approx(right[:30].mean(), rel=0.1)
    else:
        assert np.abs(found - right).mean() / right.mean() < 0.05
        assert found.max() == pytest.approx(right.max(), rel=0.1)


@pytest.mark.parametrize("fmt", ["jpeg", "webp"])
async def test_other_formats_show_the_base_picture(fmt: RenditionFormat) -> None:
    original = ultra_hdr(scene())
    (picture,) = await rendered(original, WHOLE, fmt=fmt)
    with Image.open(io.BytesIO(original), formats=["JPEG"]) as base:
        right = np.asarray(base.convert("RGB"), "f8")
    assert np.abs(np.asarray(picture.convert("RGB"), "f8") - right).mean() < 3


async def test_a_jpeg_without_a_gain_map_has_no_range_to_keep() -> None:
    body = await body_of(encode(RED, "JPEG"))
    assert frame_of(body).color_trc == SRGB_TRANSFER
    assert pyvips.Image.new_from_buffer(body, "").format == "uchar"


async def test_a_damaged_gain_map_leaves_the_base_picture() -> None:
    original = ultra_hdr(scene())
    at = original.rindex(b"\xff\xd8\xff")
    for damaged in (original[: at + 40] + bytes(200), original[:at], original[:-200] + bytes(200)):
        image = pyvips.Image.new_from_buffer(await body_of(damaged), "")
        assert (image.width, image.height) == (240, 160)


def test_gains_are_those_of_the_standard() -> None:
    """Of three channels, with powers and with parts that become darker."""
    base = np.random.default_rng(3).integers(0, 256, (40, 60, 3), "u1")
    shades = Image.fromarray(np.full((20, 30, 3), (30, 128, 220), "u1"))
    image = pyvips.Image.new_from_array(base).copy(interpretation="srgb")
    numbers = {
        "min-content-boost": [0.5, 1.0, 0.25],
        "max-content-boost": [2.0, 8.0, 16.0],
        "gamma": [1.0, 0.5, 2.0],
        "offset-sdr": [0.01, 0.02, 0.03],
        "offset-hdr": [0.03, 0.02, 0.01],
    }
    for name, each in numbers.items():
        image.set_type(pyvips.GValue.array_double_type, f"gainmap-{name}", each)
    coded = encode(shades, "JPEG", options={"quality": 100, "subsampling": 0})
    image.set_type(pyvips.GValue.blob_type, "gainmap-data", coded)
    least, most, gamma, before, after = (np.array(each) for each in numbers.values())
    share = (np.asarray(Image.open(io.BytesIO(coded)).convert("RGB"), "f8")[0, 0] / 255) ** (1 / gamma)
    gain = 2 ** (np.log2(least) + (np.log2(most) - np.log2(least)) * share)
    signal = base / 255
    light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    assert whole_range(image).numpy() == pytest.approx((light + before) * gain - after, rel=0.01, abs=0.002)


@pytest.mark.parametrize("primaries", [BT_709, DISPLAY_P3])
def test_light_becomes_pq(primaries: int) -> None:
    light = scene(60, 40)
    image = pyvips.Image.new_from_array(light.astype("f4")).copy(interpretation="scrgb")
    found = colour.in_pq(image, primaries=primaries).numpy() / 65_535
    assert found == pytest.approx(in_pq(np.maximum(light @ _TO_2020[primaries].T, 0)), abs=0.001)
