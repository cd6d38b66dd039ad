"""Decodes a JPEG with a gain map (Ultra HDR, ISO 21496-1) to its whole range, in a decoder process.

Such a JPEG is a picture of standard range. A smaller one behind it says how much brighter each part was.
Imports libvips: never import it in a service.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyvips

from kappi_media.rendering.colour import in_pq, linear
from kappi_media.rendering.gain_map import brightened, factors, primaries_of
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale

LOADERS: Final = "VipsForeignLoadUhdr"
_LOADER: Final = "uhdrload_source"
_GAIN_MAP: Final = "gainmap-data"
_NUMBERS: Final = (
    "min-content-boost",
    "max-content-boost",
    "gamma",
    "offset-sdr",
    "offset-hdr",
)
_TURNED: Final = 5  # from this EXIF orientation on
_MAX_FILE_BYTES: Final = 64 << 20
_SHRINKS: Final = (8, 4, 2)


def load_ultra_hdr(
    file: RangedFile, *, sizes: Sequence[RenditionSize], max_pixels: int
) -> pyvips.Image | None:
    """Returns the picture in PQ and BT.2020; None if it has no gain map that can be applied."""
    if file.size_bytes > _MAX_FILE_BYTES:
        return None
    file.seek(0)
    source = pyvips.Source.new_from_memory(file.readall())
    try:
        with _loaders():
            header = pyvips.Image.new_from_source(source, "", access="sequential")
            primaries = primaries_of(header)
            if primaries is None or not _is_applicable(header, max_pixels):
                return None
            scale = _scale(header, sizes)
            shrink = next((shrink for shrink in _SHRINKS if scale * shrink * 2 <= 1), 1)
            image = pyvips.Image.new_from_source(source, "", access="sequential", shrink=shrink)
        light = shrunk(whole_range(image), min(1.0, scale * header.width / image.width))
        return in_pq(light, primaries=primaries).copy_memory()
    except pyvips.Error:  # the base picture is shown, or its own decoder says what is wrong
        return None


def whole_range(image: pyvips.Image) -> pyvips.Image:
    """Returns linear light with the gains of the map. The function of libvips for this makes pictures with
    gains of three channels nearly black.
    """
    least, most, gamma, before, after = (image.get(f"gainmap-{name}") for name in _NUMBERS)
    low, high = ([math.log(boost) for boost in boosts] for boosts in (least, most))
    gains = pyvips.Image.jpegload_buffer(image.get(_GAIN_MAP)) / 255
    grown = factors(gains, low=low, high=high, gamma=gamma)
    return brightened(linear(image), grown, before=before, after=after)


@contextmanager
def _loaders() -> Iterator[None]:
    """Allows the loader for a moment: libvips would take it for any JPEG that has a gain map."""
    pyvips.operation_block_set(LOADERS, False)
    try:
        yield
    finally:
        pyvips.operation_block_set(LOADERS, True)


def _is_applicable(header: pyvips.Image, max_pixels: int) -> bool:
    fields = header.get_fields()
    if header.get("vips-loader") != _LOADER or _GAIN_MAP not in fields or header.bands != 3:
        return False
    gains = pyvips.Image.jpegload_buffer(header.get(_GAIN_MAP))
    boosts = [header.get(f"gainmap-{name}") for name in ("min-content-boost", "max-content-boost", "gamma")]
    if not header.get("gainmap-use-base-cg") or min(number for each in boosts for number in each) <= 0:
        return False
    return bool(max(header.width * header.height, gains.width * gains.height) <= max_pixels)


def _scale(header: pyvips.Image, sizes: Sequence[RenditionSize]) -> float:
    width, height = header.width, header.height
    if "orientation" in header.get_fields() and header.get("orientation") >= _TURNED:
        width, height = height, width
    return least_scale(sizes, width, height)
