"""HEIC and AVIF, in a decoder process: HEVC by pillow-heif, whose libheif decodes it, AV1 by libvips.

Rotation and mirroring are properties of the picture and libheif applies them; the EXIF orientation beside
them says the same and must not be applied a second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import pillow_heif
import pyvips

from kappi_media.probing.rejection import RejectReason, RenderRejected
from kappi_media.rendering.colour import BT_709, HLG, PQ, needs_conversion, to_srgb
from kappi_media.rendering.encoding import ANY_WIDTH, SRGB, in_memory
from kappi_media.rendering.picture import PROFILE, check_pixels, conversion, load_picture
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

_BANDS: Final = {"I": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_NOT_BUILT_IN: Final = "not been built in"


def load_heic(file: RangedFile, *, sizes: Sequence[RenditionSize], max_pixels: int) -> pyvips.Image:
    """Raises RenderRejected, pyvips.Error, OSError, ValueError."""
    try:
        picture = _opened(file)
        width, height = picture.size
        check_pixels(width, height, max_pixels)
        image = _pixels(picture)
    except (EOFError, SyntaxError, RuntimeError) as error:
        if _NOT_BUILT_IN in str(error):
            return load_avif(file, sizes=sizes, max_pixels=max_pixels)  # in a HEIF under its common name
        raise RenderRejected(RejectReason.CORRUPT, "libheif could not read it") from error
    height = math.ceil(image.height * least_scale(sizes, image.width, image.height))
    # Shrunk before its colours are converted: the other way round takes several times the memory.
    small = image.thumbnail_image(ANY_WIDTH, height=height, size="down", **conversion(image))
    return in_memory(small if PROFILE in image.get_fields() else _converted(small, picture.info))


def load_avif(file: RangedFile, *, sizes: Sequence[RenditionSize], max_pixels: int) -> pyvips.Image:
    """libvips decodes, but overlooks what the colours' numbers say. Raises as `load_heic`."""
    try:
        info = _opened(file).info
    except (EOFError, SyntaxError, RuntimeError) as error:
        raise RenderRejected(RejectReason.CORRUPT, "libheif could not read it") from error
    return load_picture(
        file,
        content_type="image/avif",
        sizes=sizes,
        max_pixels=max_pixels,
        convert=None if info.get("icc_profile") else lambda image: _converted(image, info),
    )


def _opened(file: RangedFile) -> Any:
    """The primary picture, its header read."""
    pillow_heif.options.DECODE_THREADS = 1
    file.seek(0)
    body = file.readall()
    picture = pillow_heif.open_heif(body, convert_hdr_to_8bit=True)
    if _transfer(picture.info) in (PQ, HLG):
        # Sixteen bits a channel only where the dynamic range needs them: they double the memory.
        picture = pillow_heif.open_heif(body, convert_hdr_to_8bit=False)
    return picture


def _pixels(picture: Any) -> pyvips.Image:
    """Decoded, with its colour profile, which counts for more than its colours' numbers unless those say that
    the range is high."""
    mode, _, depth = picture.mode.partition(";")
    bands, deep = _BANDS[mode], depth == "16"
    width, height = picture.size
    data = picture.data
    if len(data) != width * height * bands * (1 + deep):
        raise RenderRejected(RejectReason.CORRUPT, "not as many pixels as its size says")
    image = pyvips.Image.new_from_memory(data, width, height, bands, "ushort" if deep else "uchar")
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", SRGB)
    image = image.copy(interpretation=grey if bands < 3 else colour)
    profile = picture.info.get("icc_profile")
    if profile and len(profile) <= MAX_PROFILE_BYTES and _transfer(picture.info) not in (PQ, HLG):
        image.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return image


def _converted(image: pyvips.Image, info: dict[str, Any]) -> pyvips.Image:
    """As its colour numbers say, where no profile has said so already."""
    transfer = _transfer(info)
    primaries = (info.get("nclx_profile") or {}).get("color_primaries", BT_709)
    if image.bands < 3 or not needs_conversion(transfer=transfer, primaries=primaries):
        return image
    return to_srgb(image, transfer=transfer, primaries=primaries)


def _transfer(info: dict[str, Any]) -> int:
    return int((info.get("nclx_profile") or {}).get("transfer_characteristics", 0))
