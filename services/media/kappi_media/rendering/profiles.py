"""ICC profiles of originals and renditions, in a decoder process: which colours there are, and which stay.

A JPEG is sRGB, because every client shows it, and old ones ignore profiles. WebP and AVIF keep the colours of
Display P3, those of cameras and screens, where an original has more than sRGB.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

import pyvips
from kappi_contracts.rendition_formats import RenditionFormat

SRGB: Final = "srgb"
DISPLAY_P3: Final = "p3"
"""Names of profiles that libvips has."""
PROFILE: Final = "icc-profile-data"
_WIDE: Final[frozenset[RenditionFormat]] = frozenset({"webp", "avif"})
_PRIMARIES: Final = (b"rXYZ", b"gXYZ", b"bXYZ")
_TAGS_AT: Final = 128
_MAX_TAGS: Final = 100
# From XYZ at the white of profiles (D50) to linear sRGB.
_TO_SRGB: Final = (
    (3.1339, -1.6169, -0.4906),
    (-0.9788, 1.9161, 0.0335),
    (0.0719, -0.2290, 1.4052),
)
_NEAR: Final = 0.005
_LEAST: Final = -0.02  # primaries of sRGB are at 0, apart from rounding; those of Display P3 reach -0.22


def keeps_wide_colours(fmt: RenditionFormat) -> bool:
    return fmt in _WIDE


def output_profile(profile: bytes, fmt: RenditionFormat) -> str:
    """Returns the name of the profile that a rendition gets. profile: of the original."""
    return DISPLAY_P3 if keeps_wide_colours(fmt) and is_wide(profile) else SRGB


def is_wide(profile: bytes) -> bool:
    """Returns whether a profile has colours outside sRGB. False for one of tables, and for a damaged one."""
    found = [_point(profile, name) for name in _PRIMARIES]
    points = [point for point in found if point is not None]
    if len(points) < len(_PRIMARIES):
        return False
    shares = [sum(a * b for a, b in zip(row, point, strict=True)) for point in points for row in _TO_SRGB]
    return min(shares) < _LEAST


def has_primaries_of_p3(profile: bytes) -> bool:
    """Returns whether the primaries of a profile are those of Display P3, apart from rounding."""
    for name in _PRIMARIES:
        one, other = _point(profile, name), _point(display_p3(), name)
        if one is None or other is None:
            return False
        if max(abs(a - b) for a, b in zip(one, other, strict=True)) >= _NEAR:
            return False
    return True


def _point(profile: bytes, name: bytes) -> tuple[float, float, float] | None:
    if len(profile) < _TAGS_AT + 4:
        return None
    (count,) = struct.unpack_from(">I", profile, _TAGS_AT)
    for number in range(min(count, _MAX_TAGS)):
        at = _TAGS_AT + 4 + 12 * number
        if at + 12 > len(profile):
            return None
        tag, start, length = struct.unpack_from(">4sII", profile, at)
        if tag == name and length >= 20 and start + 20 <= len(profile):
            x, y, z = struct.unpack_from(">3i", profile, start + 8)
            return x / 65536, y / 65536, z / 65536
    return None


@cache
def display_p3() -> bytes:
    return bytes(pyvips.Operation.call("profile_load", DISPLAY_P3))


def is_display_p3(image: pyvips.Image) -> bool:
    """Returns whether the pixels are those of Display P3, by the profile that libvips attached."""
    return PROFILE in image.get_fields() and image.get(PROFILE) == display_p3()
