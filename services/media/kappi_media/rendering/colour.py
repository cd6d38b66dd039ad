"""Converts video colour to sRGB, in a decoder process: high dynamic range and wide gamuts (ITU-T H.273,
BT.2100).

A frame in PQ or HLG shown as sRGB would be grey and flat; one in BT.2020 primaries would be pale.
"""

from __future__ import annotations

from typing import Final

import pyvips
from kappi_contracts.rendition_formats import RenditionFormat

from kappi_media.rendering.hdr_avif import with_range
from kappi_media.rendering.profiles import PROFILE, display_p3, keeps_wide_colours

BT_709, BT_2020, DISPLAY_P3 = 1, 9, 12
"""Colour primaries, by their numbers in H.273."""
PQ, HLG = 16, 18
"""Transfer characteristics, by their numbers in H.273; any other is treated as that of sRGB."""

_TO_BT_709: Final = {
    BT_2020: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    DISPLAY_P3: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}
_TO_BT_2020: Final = {
    BT_709: [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
    DISPLAY_P3: [[0.7538, 0.1986, 0.0476], [0.0457, 0.9418, 0.0125], [-0.0012, 0.0176, 0.9836]],
}
_TO_DISPLAY_P3: Final = {BT_709: [[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]]}
_WIDER: Final = {BT_2020: _TO_BT_2020, DISPLAY_P3: _TO_DISPLAY_P3}
_LUMINANCE_2020: Final = [[0.2627, 0.6780, 0.0593]]
_WHITE_NITS: Final = 203.0  # the luminance to which diffuse white is graded (BT.2408)
_PEAK: Final = 1000.0 / _WHITE_NITS
_KNEE: Final = 0.5  # of diffuse white; nothing changes below it, and highlights above it are compressed
_SIGNALS: Final = 65_535.0
# In eight bits, the value of black and its distance to white, in the limited range of video.
_BLACK, _SPAN = 16, 219


def needs_conversion(*, transfer: int, primaries: int) -> bool:
    """Returns whether pixels of such a picture differ from sRGB."""
    return transfer in (PQ, HLG) or primaries in _TO_BT_709


def for_format(image: pyvips.Image, fmt: RenditionFormat, *, transfer: int, primaries: int) -> pyvips.Image:
    """Returns the picture in colours that a format of renditions shows.

    An AVIF keeps a high dynamic range, and with WebP the colours of Display P3; else it is sRGB.
    """
    if transfer in (PQ, HLG) and fmt == "avif" and image.bands == 3 and image.format == "ushort":
        return with_range(image, transfer=transfer, primaries=primaries)
    if transfer not in (PQ, HLG) and primaries == DISPLAY_P3 and keeps_wide_colours(fmt):
        wide = image.copy()
        wide.set_type(pyvips.GValue.blob_type, PROFILE, display_p3())
        return wide
    if not needs_conversion(transfer=transfer, primaries=primaries):
        return image
    return to_srgb(image, transfer=transfer, primaries=primaries)


def to_srgb(image: pyvips.Image, *, transfer: int, primaries: int) -> pyvips.Image:
    """Returns the picture in sRGB with eight bits per channel.

    image: RGB, full range, eight or sixteen bits per channel; alpha is kept.
    """
    if image.hasalpha():
        alpha = image.extract_band(3)
        alpha = alpha >> 8 if image.format == "ushort" else alpha
        opaque = to_srgb(image.extract_band(0, n=3), transfer=transfer, primaries=primaries)
        return opaque.bandjoin(alpha.cast("uchar"))
    light = _light(_deep(image), transfer=transfer)
    matrix = _TO_BT_709.get(primaries)
    if matrix is not None:
        light = light.recomb(matrix)
    if transfer in (PQ, HLG):
        light = _compressed(light)
    return light.copy(interpretation="scrgb").colourspace("srgb")


def linear(image: pyvips.Image) -> pyvips.Image:
    """Returns the light of eight or sixteen bits in the curve of sRGB, which Display P3 shares."""
    return _light(_deep(image), transfer=0)


def in_primaries(light: pyvips.Image, *, primaries: int, wanted: int) -> pyvips.Image | None:
    """Returns linear light in other primaries; None where they are not wider."""
    if primaries == wanted:
        return light
    matrix = _WIDER.get(wanted, {}).get(primaries)
    return None if matrix is None else light.recomb(matrix)


def in_pq(light: pyvips.Image, *, primaries: int) -> pyvips.Image:
    """Returns PQ and BT.2020 of sixteen bits, with its numbers. light: linear, with diffuse white as 1.0, in
    BT.709, Display P3 or BT.2020.
    """
    wide = light if primaries == BT_2020 else light.recomb(_TO_BT_2020[primaries])
    wide = wide * (_WHITE_NITS / 10_000)
    # A table by fourth roots: they cost a tenth of powers, and are as fine as PQ in dark parts.
    roots = ((wide > 0).ifthenelse(wide, 0) ** 0.5) ** 0.5
    power = (pyvips.Image.identity(ushort=True) / _SIGNALS) ** (4 * 0.1593017578125)
    signal = ((power * 18.8515625 + 0.8359375) / (power * 18.6875 + 1)) ** 78.84375
    table = (signal * _SIGNALS).rint().cast("ushort")
    deep = (roots * _SIGNALS).rint().cast("ushort").maplut(table)
    return with_range(deep.copy(interpretation="rgb16"), transfer=PQ, primaries=BT_2020)


def stretched(image: pyvips.Image) -> pyvips.Image:
    """Returns grey of the limited range, also in three bands, with its full contrast; opacity is
    unchanged.
    """
    top = 65_535 if image.format == "ushort" else 255
    bands = image.bands - 1 if image.hasalpha() else image.bands
    wide = (image.extract_band(0, n=bands) - _BLACK * top / 255) * (255 / _SPAN)
    wide = wide.rint().cast(image.format).copy(interpretation=image.interpretation)
    return wide if bands == image.bands else wide.bandjoin(image.extract_band(bands))


def _deep(image: pyvips.Image) -> pyvips.Image:
    return image if image.format == "ushort" else (image * 257).cast("ushort")


def _light(image: pyvips.Image, *, transfer: int) -> pyvips.Image:
    """Returns linear light, with diffuse white as 1.0."""
    signal = pyvips.Image.identity(ushort=True) / _SIGNALS
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        above = (root > 0.8359375).ifthenelse(root - 0.8359375, 0)
        curve = (above / (18.8515625 - root * 18.6875)) ** (1 / 0.1593017578125)
        return image.maplut(curve * (10_000 / _WHITE_NITS))
    if transfer == HLG:
        low, high = signal**2 / 3, (((signal - 0.55991073) / 0.17883277).exp() + 0.28466892) / 12
        scene = image.maplut((signal <= 0.5).ifthenelse(low, high))
        # The system gamma of a display of 1,000 nits.
        return scene * (scene.recomb(_LUMINANCE_2020) ** 0.2) * _PEAK
    return image.maplut((signal <= 0.04045).ifthenelse(signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4))


def _compressed(light: pyvips.Image) -> pyvips.Image:
    """Returns the light with highlights up to the peak compressed and hue kept: a Möbius curve from the knee
    on.
    """
    brightest = light.extract_band(0).bandrank([light.extract_band(1), light.extract_band(2)], index=2)
    a = -(_KNEE**2) * (_PEAK - 1) / (_KNEE**2 - 2 * _KNEE + _PEAK)
    b = (_KNEE**2 - 2 * _KNEE * _PEAK + _PEAK) / (_PEAK - 1)
    scale = (b**2 + 2 * b * _KNEE + _KNEE**2) / (b - a)
    pressed = (brightest + a) / (brightest + b) * scale
    return light * (brightest <= _KNEE).ifthenelse(1.0, pressed / brightest)
