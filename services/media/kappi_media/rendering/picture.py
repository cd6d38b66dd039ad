"""Decodes still pictures, in a decoder process. Imports libvips: never import it in a service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import pyvips
from kappi_contracts.rendition_formats import FALLBACK_FORMAT, RenditionFormat
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.colour import for_format, needs_conversion
from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.essentials import essentials
from kappi_media.rendering.hdr_avif import shrunk
from kappi_media.rendering.png_colour import ColourNumbers, colour_numbers
from kappi_media.rendering.profiles import PROFILE, SRGB, output_profile
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES
from kappi_media.rendering.ultra_hdr import load_ultra_hdr

LOADERS: Final = {  # content type: libvips' class of loaders, and the loader that reads a source
    "image/jpeg": ("VipsForeignLoadJpeg", "jpegload_source"),
    "image/png": ("VipsForeignLoadPng", "pngload_source"),
    "image/gif": ("VipsForeignLoadNsgif", "gifload_source"),
    "image/webp": ("VipsForeignLoadWebp", "webpload_source"),
    "image/avif": ("VipsForeignLoadHeif", "heifload_source"),
    "image/tiff": ("VipsForeignLoadTiff", "tiffload_source"),
}
# A file up to this size is read at once: libvips requests 4 KiB at a time, each time through Python.
_READ_WHOLE_BYTES: Final = 64 << 20
# The message of libvips for a JPEG with damaged pixels.
_MANY_WARNINGS: Final = "Corrupt JPEG data"
# How much smaller libvips makes a JPEG that libjpeg made smaller while it decoded. At 1.8, photographs of 12
# and 48 megapixels are decoded in a quarter and an eighth of their size for the grid.
_LEAST_REST: Final = 1.8
_COLOURS: Final = 3
ORIENTATION: Final = "orientation"


def harden() -> None:
    """Disable the operation cache and all loaders except the ones above, so that no file reaches, for
    example, the SVG loader.
    """
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name, _ in LOADERS.values():
        pyvips.operation_block_set(name, False)


def load_picture(
    file: RangedFile,
    *,
    content_type: str,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat = FALLBACK_FORMAT,
) -> pyvips.Image:
    """Returns the picture upright, in colours of that format of renditions, or grey, decoded no larger than
    the sizes need (shrink on load).

    Raises RenderRejected, pyvips.Error.
    """
    if content_type not in LOADERS:
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, content_type)
    if content_type == "image/jpeg" and fmt == "avif":
        whole = load_ultra_hdr(file, sizes=sizes, max_pixels=max_pixels)
        if whole is not None:
            return whole
    shown = essentials(file, content_type=content_type)
    numbers = colour_numbers(file) if content_type == "image/png" else None
    if numbers is not None and needs_conversion(**numbers._asdict()):
        image = _of_numbers(shown, numbers, sizes=sizes, max_pixels=max_pixels, fmt=fmt)
        if image is not None:
            return image
    try:
        image = _small(shown, content_type, sizes=sizes, max_pixels=max_pixels, fmt=fmt)
    except pyvips.Error as error:
        if _MANY_WARNINGS not in str(error):
            raise
        # libvips stops at the hundredth warning, and each damaged restart marker is one. Browsers continue.
        image = _small(shown, content_type, sizes=sizes, max_pixels=max_pixels, fmt=fmt, options="unlimited")
    check_decoded(image, [shown])
    return image


def _small(
    file: RangedFile,
    content_type: str,
    *,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat,
    options: str = "",
) -> pyvips.Image:
    """Returns the shrunk picture. options: of libvips' loader."""
    source = vips_source(file)
    header = pyvips.Image.new_from_source(source, options, access="sequential")
    if header.get("vips-loader") != LOADERS[content_type][1]:
        raise RenderRejected(RejectReason.CORRUPT, f"not {content_type}")
    check_pixels(header.width, header.height, max_pixels)
    width, height = displayed(header)
    scale = least_scale(sizes, width, height)
    how = {"height": math.ceil(height * scale), "size": "down", **conversion(header, fmt)}
    # A photograph with damaged rows is still a photograph: the rest is shown.
    if content_type == "image/jpeg" and (shrink := _shrink_on_load(scale)) > 1:
        image = pyvips.Image.new_from_source(
            source, options, access="sequential", shrink=shrink, fail_on="none"
        ).thumbnail_image(ANY_WIDTH, **how)
    else:
        image = pyvips.Image.thumbnail_source(source, ANY_WIDTH, **how, option_string=options, fail_on="none")
    return in_memory(image)  # here, while the source is held: libvips does not hold it


def _of_numbers(
    file: RangedFile,
    numbers: ColourNumbers,
    *,
    sizes: Sequence[RenditionSize],
    max_pixels: int,
    fmt: RenditionFormat,
) -> pyvips.Image | None:
    """Returns a PNG converted by its colour numbers; None if it is grey."""
    source = vips_source(file)
    image = pyvips.Image.new_from_source(source, "", access="sequential")
    check_pixels(image.width, image.height, max_pixels)
    if image.bands < _COLOURS:
        return None
    image = image.copy()
    image.remove(PROFILE)
    small = shrunk(image, least_scale(sizes, *displayed(image)))
    return in_memory(for_format(small, fmt, **numbers._asdict()))


def _shrink_on_load(scale: float) -> int:
    """Returns the size, 1 of 1 to 8, in which libjpeg decodes. scale: of the wanted picture.

    libvips itself leaves a factor of two for its better filter.
    """
    return next((shrink for shrink in (8, 4, 2) if scale * shrink * _LEAST_REST <= 1), 1)


def check_decoded(image: pyvips.Image, files: Sequence[RangedFile]) -> None:
    """Raises pyvips.Error when the picture has a single colour because its file, or one of its layers, could
    not be decoded.

    It costs a second decoding of a picture of one colour, and nothing for others.
    """
    # One call for a few pixels at equal distances: each call takes a quarter of a millisecond.
    few = image.subsample(*(max(1, (side - 1) // 2) for side in (image.width, image.height)))
    pixels = bytes(few.write_to_memory())
    pixel_bytes = len(pixels) // (few.width * few.height)
    if len({pixels[at : at + pixel_bytes] for at in range(0, len(pixels), pixel_bytes)}) > 1:
        return
    lows, highs = (image.stats().crop(column, 1, 1, image.bands).write_to_memory() for column in (0, 1))
    if lows != highs:
        return
    for file in files:
        source = vips_source(file)
        pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error").avg()


def conversion(header: pyvips.Image, fmt: RenditionFormat = FALLBACK_FORMAT) -> dict[str, str]:
    """Returns libvips' options for colours. They are empty if the picture is sRGB already: a conversion would
    add half of the decoding time.
    """
    profile = header.get(PROFILE) if PROFILE in header.get_fields() else b""
    if 0 < len(profile) <= MAX_PROFILE_BYTES:
        return {"output_profile": output_profile(profile, fmt)}
    return {"output_profile": SRGB} if header.interpretation == "cmyk" else {}


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises RenderRejected for a picture with too many pixels."""
    if width * height > max_pixels:
        raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{width} x {height}")


def displayed(header: pyvips.Image) -> tuple[int, int]:
    turned = ORIENTATION in header.get_fields() and header.get(ORIENTATION) >= 5
    return (header.height, header.width) if turned else (header.width, header.height)


def vips_source(file: RangedFile) -> pyvips.Source:
    file.seek(0)
    if file.size_bytes <= _READ_WHOLE_BYTES:
        return pyvips.Source.new_from_memory(file.readall())
    source = pyvips.SourceCustom()
    source.on_read(file.read)
    source.on_seek(file.seek)
    return source
