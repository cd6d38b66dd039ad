"""Shows the whole range of a HEIC or AVIF with a gain map, in a decoder process.

Imports libvips: never import it in a service.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyvips
from kappi_mediameta.probing.blocking import at_once
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.heif import Still
from kappi_mediameta.probing.heif_gain_maps import GainMap, Gains, read_gain_map
from kappi_mediameta.probing.rejection import Rejected
from kappi_mediameta.probing.source import BlockReader

from kappi_media.rendering.colour import BT_709, BT_2020, DISPLAY_P3, in_pq, in_primaries, linear, stretched
from kappi_media.rendering.gain_map import (
    brightened,
    factors,
    primaries_of,
    primaries_of_profile,
)
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.heif_decoding import Decoded, decoded, is_limited_grey
from kappi_media.rendering.heif_item_file import file_of
from kappi_media.rendering.pieces import Bytes
from kappi_media.rendering.profiles import PROFILE
from kappi_media.rendering.ranged_file import RangedFile

_LIMITS: Final = ProbeLimits()
_NOT_SAID: Final = 2
_NONE: Final = (0.0,)


@dataclass(frozen=True, slots=True)
class HeifFile:
    """A file, and what is known of its picture. reader: with what is left of its budget."""

    file: RangedFile
    reader: BlockReader
    still: Still


class _Growth(NamedTuple):
    """By how much light is multiplied, and the numbers before and after it."""

    factors: pyvips.Image
    before: tuple[float, ...]
    after: tuple[float, ...]


def whole_range(heif: HeifFile, picture: Decoded, *, scale: float) -> pyvips.Image | None:
    """Returns the picture in PQ and BT.2020, upright; None if it has no gain map that can be applied.

    picture: of standard range, in RGB, with its orientation.
    """
    try:
        found = at_once(read_gain_map(heif.reader, heif.still, _LIMITS))
        base = _primaries(picture)
        if found is None or base is None:
            return None
        wanted = _wanted(found.colours, base)
        grown = _growth(heif, found, max_pixels=picture.image.width * picture.image.height)
        return (
            None if wanted is None else _applied(picture.image, grown, base=base, wanted=wanted, scale=scale)
        )
    except (Rejected, pyvips.Error, OSError, ValueError):
        return None  # the picture itself is shown, or its own decoder says what is wrong


def _applied(
    image: pyvips.Image, grown: _Growth, *, base: int, wanted: int, scale: float
) -> pyvips.Image | None:
    # It is shrunk before its gains are applied: that is several times as fast.
    small = image.resize(scale) if scale < 1 else image
    light = in_primaries(linear(small), primaries=base, wanted=wanted)
    if light is None:
        return None
    bright = brightened(light, grown.factors, before=grown.before, after=grown.after)
    return in_pq(shrunk(bright, 1), primaries=wanted).copy_memory()


def _growth(heif: HeifFile, found: GainMap, *, max_pixels: int) -> _Growth:
    """Decodes the gains. They have at most as many pixels as the picture."""
    map_ = decoded(file_of(heif.file, found.picture), found.picture, max_pixels=max_pixels)
    image = map_.image
    if is_limited_grey(Bytes(heif.file), found.picture, map_):
        image = stretched(image)
    if image.hasalpha():
        image = image.extract_band(0, n=image.bands - 1)
    shares = (image / (65_535 if image.format == "ushort" else 255)).copy_memory()
    gains = found.gains
    if isinstance(gains, Gains):
        low, high = ([stops * math.log(2) for stops in each] for each in (gains.least, gains.most))
        return _Growth(factors(shares, low=low, high=high, gamma=gains.gamma), gains.before, gains.after)
    return _Growth(_of_bt_709(shares) * (gains - 1) + 1, _NONE, _NONE)


def _of_bt_709(signal: pyvips.Image) -> pyvips.Image:
    """Returns the light of a signal in the curve of BT.709, which Apple uses for gains."""
    return (signal < 0.081).ifthenelse(signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))


def _primaries(picture: Decoded) -> int | None:
    if PROFILE in picture.image.get_fields():
        return primaries_of(picture.image)
    return _known((picture.info.get("nclx_profile") or {}).get("color_primaries", BT_709))


def _wanted(colours: bytes, base: int) -> int | None:
    """Returns the primaries that the gains are for. colours: the body of a `colr` box."""
    if colours[:4] == b"nclx" and len(colours) >= 6:
        (number,) = struct.unpack_from(">H", colours, 4)
        return base if number == _NOT_SAID else _known(number)
    return primaries_of_profile(colours[4:]) if colours else base


def _known(number: int) -> int | None:
    if number == _NOT_SAID:
        return BT_709
    return number if number in (BT_709, DISPLAY_P3, BT_2020) else None
