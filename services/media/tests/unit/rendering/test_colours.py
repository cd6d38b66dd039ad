"""Colours are shown correctly, whatever colour space they were written in."""

import struct

import pytest
import pyvips
from kappi_media.rendering.colour import BT_709, BT_2020, DISPLAY_P3, HLG, PQ, to_srgb
from kappi_media.rendering.profiles import display_p3
from kappi_testkit.media.rendering import assert_upright, corners, rendered
from kappi_testkit.media.samples import QUADRANTS, Colour, encode, register_heif
from PIL import Image, ImageCms

SRGB_TRANSFER = 13
# sRGB to Display P3 in linear light.
_TO_P3 = ((0.8225, 0.1774, 0.0), (0.0332, 0.9669, 0.0), (0.0171, 0.0724, 0.9108))
# The primaries of Display P3 in XYZ as seen under D50, as its ICC profile has them.
_P3_COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}


def linear(value: int) -> float:
    signal = value / 255
    return signal / 12.92 if signal <= 0.04045 else ((signal + 0.055) / 1.055) ** 2.4


def signal_of(light: float) -> int:
    value = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * value)


def in_p3(colour: Colour) -> Colour:
    """Returns the same colour, by its numbers in Display P3."""
    light = [linear(value) for value in colour]
    red, green, blue = (signal_of(sum(a * b for a, b in zip(row, light, strict=True))) for row in _TO_P3)
    return red, green, blue


def p3_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    places = {}
    for number in range(count):
        name, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        places[name] = offset
    for name, values in _P3_COLORANTS.items():
        struct.pack_into(">3i", profile, places[name] + 8, *(round(value * 65_536) for value in values))
    return bytes(profile)


def p3_picture(width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height))
    for number, colour in enumerate(QUADRANTS):
        box = (number % 2 * width // 2, number // 2 * height // 2)
        picture.paste(in_p3(colour), (*box, box[0] + width // 2, box[1] + height // 2))
    return picture


def assert_as_seen(picture: Image.Image) -> None:
    """Compares the colours, by their numbers in Display P3 if the picture has its profile."""
    wide = picture.info.get("icc_profile") == display_p3()
    for found, colour in zip(corners(picture), QUADRANTS, strict=True):
        assert found == pytest.approx(in_p3(colour) if wide else colour, abs=6)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
async def test_a_phones_wide_colours_look_right(fmt: str) -> None:
    register_heif()
    options: dict[str, object] = {"icc_profile": p3_profile()}
    if fmt in ("JPEG", "HEIF", "AVIF", "WEBP"):
        options["quality"] = 95
    for wanted in ("jpeg", "webp", "avif"):
        (picture,) = await rendered(encode(p3_picture(300, 200), fmt, options=options), fmt=wanted)
        assert_as_seen(picture)


def numbered(body: bytes, *, primaries: int, transfer: int) -> bytes:
    """Returns the same HEIC or AVIF with other colour numbers."""
    at = body.index(b"colrnclx") + 8
    return body[:at] + struct.pack(">2H", primaries, transfer) + body[at + 4 :]


@pytest.mark.parametrize("fmt", ["AVIF", "HEIF"])
async def test_wide_colours_told_by_numbers_alone(fmt: str) -> None:
    register_heif()
    body = encode(p3_picture(300, 200), fmt, options={"quality": 95})
    (picture,) = await rendered(numbered(body, primaries=DISPLAY_P3, transfer=SRGB_TRANSFER))
    assert_upright(picture, tolerance=6)


@pytest.mark.parametrize("fmt", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("transfer", "white"), [(PQ, 148), (HLG, 191)])
async def test_a_high_range_photograph_is_not_grey(fmt: str, transfer: int, white: int) -> None:
    register_heif()
    picture = Image.new("RGB", (300, 200), (white,) * 3)
    picture.paste((8, 8, 8), (0, 0, 150, 200))
    body = encode(picture, fmt, options={"quality": 95})
    (found,) = await rendered(numbered(body, primaries=BT_2020, transfer=transfer))
    dark, bright = corners(found)[:2]
    assert max(dark) <= 12
    assert min(bright) >= 215


def test_the_trial_would_notice() -> None:
    """A P3 picture treated as sRGB differs by more than the tolerance above."""
    differences = [abs(a - b) for colour in QUADRANTS for a, b in zip(colour, in_p3(colour), strict=True)]
    assert max(differences) > 12


def patch(red: float, green: float, blue: float) -> pyvips.Image:
    """Returns a few pixels of signals from 0 to 1, sixteen bits per channel."""
    values = [round(value * 65_535) for value in (red, green, blue)]
    image = pyvips.Image.black(4, 4, bands=3) + values
    return image.cast("ushort").copy(interpretation="rgb16")


def converted(*signals: float, transfer: int, primaries: int) -> list[float]:
    found: list[float] = to_srgb(patch(*signals), transfer=transfer, primaries=primaries)(1, 1)
    return found


# The signals of a diffuse white, of a grey card and of a highlight at the display's peak (BT.2408, table 1).
@pytest.mark.parametrize(
    ("transfer", "white", "grey", "peak"), [(PQ, 0.5807, 0.3783, 0.7518), (HLG, 0.75, 0.3822, 1.0)]
)
def test_high_range_greys_are_neither_flat_nor_burnt(
    transfer: int, white: float, grey: float, peak: float
) -> None:
    shades = [
        converted(*[signal] * 3, transfer=transfer, primaries=BT_2020) for signal in (grey, white, peak)
    ]
    for red, green, blue in shades:
        assert max(red, green, blue) - min(red, green, blue) <= 2
    middle, bright, brightest = (shade[1] for shade in shades)
    assert middle == pytest.approx(100, abs=3)  # 26 of 203 nits, in sRGB
    assert 215 <= bright <= 235
    assert 250 <= brightest <= 255


def test_black_stays_black() -> None:
    for transfer in (PQ, HLG, SRGB_TRANSFER):
        assert converted(0, 0, 0, transfer=transfer, primaries=BT_2020) == [0, 0, 0]


def test_a_colour_outside_of_the_screens_is_the_nearest_it_has() -> None:
    red = converted(1, 0, 0, transfer=SRGB_TRANSFER, primaries=DISPLAY_P3)
    assert red == [255, 0, 0]


def test_what_is_srgb_already_is_left_alone() -> None:
    found = converted(0.8, 0.2, 0.4, transfer=SRGB_TRANSFER, primaries=BT_709)
    assert found == pytest.approx([204, 51, 102], abs=1)
