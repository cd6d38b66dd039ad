"""Applies a gain map (ISO 21496-1) to a picture of standard range, in a decoder process.

Imports libvips: never import it in a service.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

from kappi_media.rendering.colour import BT_709, DISPLAY_P3
from kappi_media.rendering.profiles import PROFILE, has_primaries_of_p3, is_wide


def factors(
    gains: pyvips.Image, *, low: Sequence[float], high: Sequence[float], gamma: Sequence[float]
) -> pyvips.Image:
    """Returns by how much light is multiplied. gains: from 0 to 1. low, high: natural logarithms of the least
    and the largest factor.
    """
    span = [top - bottom for bottom, top in zip(low, high, strict=True)]
    return ((gains ** [1 / power for power in gamma]) * span + list(low)).exp()


def brightened(
    light: pyvips.Image, grown: pyvips.Image, *, before: Sequence[float], after: Sequence[float]
) -> pyvips.Image:
    """Returns linear light multiplied by the factors, by the formula of the standard. grown: of any size."""
    grown = grown.copy_memory()
    across, down = light.width / grown.width, light.height / grown.height
    grown = grown.resize(across, vscale=down, kernel="linear")
    grown = grown.embed(0, 0, light.width, light.height, extend="copy")
    return (light + list(before)) * grown - list(after)


def primaries_of(image: pyvips.Image) -> int | None:
    """Returns the primaries of a picture by its profile; None for other wide colours."""
    profile = image.get(PROFILE) if PROFILE in image.get_fields() else b""
    return primaries_of_profile(profile)


def primaries_of_profile(profile: bytes) -> int | None:
    if not is_wide(profile):
        return BT_709
    return DISPLAY_P3 if has_primaries_of_p3(profile) else None
