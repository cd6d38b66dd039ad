"""Makes a ThumbHash: some 25 bytes from which a client draws a blurred picture
(evanw.github.io/thumbhash).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import add, mul, sub
from typing import Final, NamedTuple

import pyvips

# A hash keeps at most seven waves per side, for which 32 pixels are enough.
_SIDE: Final = 32
_WAVES: Final = 7
_COLOUR_WAVES: Final = 3
_BRIGHTEST: Final = 255


class _Channel(NamedTuple):
    """Waves of one channel: the constant one, and the others from 0 to 1, of which the scale makes -1 to
    1.
    """

    constant: float
    waves: list[float]
    scale: float


def placeholder(image: pyvips.Image) -> bytes:
    """Returns the ThumbHash of an upright opaque picture, sRGB or grey."""
    small = image.thumbnail_image(_SIDE, height=_SIDE, size="down").colourspace("srgb")
    return thumb_hash(small.width, small.height, bytes(small.write_to_memory()))


def thumb_hash(width: int, height: int, rgb: bytes) -> bytes:
    """Returns the ThumbHash of an opaque picture. rgb: three bytes for each pixel.

    The sums over both dimensions are separable, and the channels of a hash are sums of red, green and blue.
    """
    longest = max(width, height)
    lx, ly = (max(1, round(_WAVES * side / longest)) for side in (width, height))
    red, green, blue = rgb[0::3], rgb[1::3], rgb[2::3]
    total = list(map(add, map(add, red, green), blue))
    # Yellow against blue is (red + green) / 2 - blue.
    yellow = [whole / 2 - 1.5 * third for whole, third in zip(total, blue, strict=True)]
    channels = [
        _channel(total, width, height, max(3, lx), max(3, ly), unit=3 * _BRIGHTEST),
        _channel(yellow, width, height, _COLOUR_WAVES, _COLOUR_WAVES, unit=_BRIGHTEST),
        _channel(list(map(sub, red, green)), width, height, _COLOUR_WAVES, _COLOUR_WAVES, unit=_BRIGHTEST),
    ]
    light, by, rg = channels
    is_wide = width > height
    colours = (
        round(63 * light.constant)
        | round(31.5 + 31.5 * by.constant) << 6
        | round(31.5 + 31.5 * rg.constant) << 12
        | round(31 * light.scale) << 18
    )
    shape = (ly if is_wide else lx) | round(63 * by.scale) << 3 | round(63 * rg.scale) << 9 | is_wide << 15
    waves = [round(15 * wave) for channel in channels for wave in channel.waves]
    pairs = zip(waves[0::2], [*waves[1::2], 0], strict=False)
    return colours.to_bytes(3, "little") + shape.to_bytes(2, "little") + bytes(a | b << 4 for a, b in pairs)


def _channel(values: Sequence[float], width: int, height: int, nx: int, ny: int, *, unit: float) -> _Channel:
    """Returns the waves of a channel: nx across, ny down, fewer of those with both. unit: the value of 1."""
    rows = [values[start : start + width] for start in range(0, width * height, width)]
    columns = [[sum(map(mul, row, wave)) for row in rows] for wave in _cosines(width, nx)]
    down = _cosines(height, ny)
    area = width * height * unit
    found = [
        sum(map(mul, columns[cx], down[cy])) / area
        for cy in range(ny)
        for cx in range(nx)
        if cx * ny < nx * (ny - cy)
    ]
    constant, *others = found
    scale = max(map(abs, others))
    return _Channel(constant, [0.5 + 0.5 / scale * wave for wave in others] if scale else others, scale)


@lru_cache(maxsize=4 * _SIDE)
def _cosines(length: int, number: int) -> list[list[float]]:
    return [
        [math.cos(math.pi / length * wave * (at + 0.5)) for at in range(length)] for wave in range(number)
    ]
