"""Renditions of a still picture, in a decoder process. Imports libvips: never import it in a service."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Final

import pyvips

from kappi_media.probing.rejection import RejectReason, RenderRejected
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenderedImage, RenditionSize

LOADERS: Final = {  # content type: libvips' class of loaders, and the one that reads a source
    "image/jpeg": ("VipsForeignLoadJpeg", "jpegload_source"),
    "image/png": ("VipsForeignLoadPng", "pngload_source"),
    "image/gif": ("VipsForeignLoadNsgif", "gifload_source"),
    "image/webp": ("VipsForeignLoadWebp", "webpload_source"),
}
_QUALITY: Final = 82
_ANY_WIDTH: Final = 10_000_000  # libvips' own ceiling: the height alone decides
_WHITE: Final = 255
_SRGB: Final = "srgb"


def harden() -> None:
    """No operation cache, and no loader but the ones above: nothing here ever reaches, say, that for SVG."""
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name, _ in LOADERS.values():
        pyvips.operation_block_set(name, False)


def render_picture(
    file: RangedFile,
    *,
    content_type: str,
    displayed: tuple[int, int],
    sizes: Sequence[RenditionSize],
    max_pixels: int,
) -> list[RenderedImage]:
    """Decode once, as small as the largest size allows (shrink on load), then make each size of that.

    displayed: width and height with the orientation applied. Raises RenderRejected, pyvips.Error.
    """
    if content_type not in LOADERS:
        raise RenderRejected(RejectReason.UNSUPPORTED_TYPE, content_type)
    source = _vips_source(file)
    header = pyvips.Image.new_from_source(source, "", access="sequential")
    if header.get("vips-loader") != LOADERS[content_type][1]:
        raise RenderRejected(RejectReason.CORRUPT, f"not {content_type}")
    _check_pixels(header.width, header.height, max_pixels)
    scale = max(size.scale_from(*displayed) for size in sizes)
    base = pyvips.Image.thumbnail_source(
        source,
        _ANY_WIDTH,
        height=math.ceil(displayed[1] * scale),
        size="down",
        output_profile=_SRGB,
        fail_on="none",  # a photograph with damaged rows is still someone's photograph: show the rest
    )
    return encode_sizes(base, sizes)


def render_bmp(
    file: RangedFile, *, displayed: tuple[int, int], sizes: Sequence[RenditionSize], max_pixels: int
) -> list[RenderedImage]:
    """BMP comes through Pillow, libvips has no loader for it. Raises RenderRejected, OSError."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, checked below, and must refuse instead of warn
    with Image.open(io.BufferedReader(file), formats=["BMP"]) as picture:
        _check_pixels(picture.width, picture.height, max_pixels)
        scale = max(size.scale_from(*displayed) for size in sizes)
        pixels = picture.convert("RGB")
    shrink = max(1, int(1 / scale / 2))  # a cheap box filter first, at least twice the target stays
    if shrink > 1:
        pixels = pixels.reduce(shrink)
    image = pyvips.Image.new_from_memory(pixels.tobytes(), pixels.width, pixels.height, 3, "uchar")
    return encode_sizes(image.copy(interpretation=_SRGB), sizes)


def encode_sizes(base: pyvips.Image, sizes: Sequence[RenditionSize]) -> list[RenderedImage]:
    """Each size from one upright picture of at least that size. Metadata and colour profile are dropped."""
    if base.hasalpha():
        base = base.flatten(background=_WHITE)
    target = "b-w" if base.interpretation in ("b-w", "grey16") else _SRGB
    base = base.colourspace(target).copy_memory()
    return [_encode(base, size) for size in sizes]


def _encode(base: pyvips.Image, size: RenditionSize) -> RenderedImage:
    if size.cover_width is not None:
        image = base.thumbnail_image(size.cover_width, height=size.height, crop="centre")
    elif base.height > size.height:
        image = base.thumbnail_image(_ANY_WIDTH, height=size.height, size="down")
    else:
        image = base
    jpeg = image.jpegsave_buffer(Q=_QUALITY, keep="none", optimize_coding=True)
    return RenderedImage(jpeg=jpeg, width=image.width, height=image.height)


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise RenderRejected(RejectReason.TOO_MANY_PIXELS, f"{width} x {height}")


def _vips_source(file: RangedFile) -> pyvips.SourceCustom:
    source = pyvips.SourceCustom()
    source.on_read(file.read)
    source.on_seek(file.seek)
    return source
