"""Encodes one decoded picture to files, in a decoder process. Imports libvips: never import it in a
service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import pyvips
from kappi_contracts.rendition_formats import RenditionFormat

from kappi_media.rendering.hdr_avif import has_range, hdr_avif, shrunk
from kappi_media.rendering.profiles import SRGB, is_display_p3
from kappi_media.rendering.sizes import RenderedImage, RenditionSize

ANY_WIDTH: Final = 10_000_000  # libvips' own maximum, so that the height alone decides
_WHITE: Final = 255
_AVIF_LARGE_PIXELS: Final = 2_000_000


def _jpeg(image: pyvips.Image) -> bytes:
    return bytes(image.jpegsave_buffer(Q=82, keep="none", optimize_coding=True))


def _webp(image: pyvips.Image) -> bytes:
    return bytes(image.webpsave_buffer(Q=80, effort=4, keep=_kept(image)))


def _kept(image: pyvips.Image) -> str:
    """Returns what libvips keeps: a profile that is not sRGB's, which clients assume."""
    return "icc" if is_display_p3(image) else "none"


def animated_webp(image: pyvips.Image) -> bytes:
    """Returns an animation. image: its frames below one another, with their durations."""
    # More effort takes three times as long, and saves hardly a byte.
    return bytes(image.webpsave_buffer(Q=80, effort=0, keep="none"))


def _avif(image: pyvips.Image) -> bytes:
    # From effort 4 on, a picture of 400 pixels takes a quarter of a second, to save a quarter of its bytes.
    # The largest allowed rendition must stay within the time of a job.
    effort = 2 if image.width * image.height <= _AVIF_LARGE_PIXELS else 0
    if has_range(image):
        return hdr_avif(image, effort=effort)
    return bytes(image.heifsave_buffer(Q=62, effort=effort, compression="av1", keep=_kept(image)))


_ENCODERS: Final[Mapping[RenditionFormat, Callable[[pyvips.Image], bytes]]] = MappingProxyType(
    {"jpeg": _jpeg, "webp": _webp, "avif": _avif}
)


def in_memory(image: pyvips.Image) -> pyvips.Image:
    """Returns the picture opaque, in sRGB, Display P3 or grey, with eight bits per channel, and computed: the
    file is not needed any more. One that keeps its range has sixteen bits.
    """
    if has_range(image):
        return image.copy_memory()
    target = "b-w" if image.interpretation in ("b-w", "grey16") else SRGB
    image = image.colourspace(target)  # first, because the background is one of eight bits
    if image.hasalpha():
        image = image.flatten(background=_WHITE)
    return image.copy_memory()


def resized(base: pyvips.Image, size: RenditionSize) -> pyvips.Image:
    """Returns the picture at that size. base: upright, from `in_memory`, at least of that size unless the
    original is smaller.
    """
    if has_range(base):
        return _deep_resized(base, size)
    if size.cover_width is not None:
        return base.thumbnail_image(size.cover_width, height=size.height, crop="centre").copy_memory()
    if base.height > size.height:
        return base.thumbnail_image(ANY_WIDTH, height=size.height, size="down").copy_memory()
    return base


def _deep_resized(base: pyvips.Image, size: RenditionSize) -> pyvips.Image:
    if size.cover_width is None:
        return shrunk(base, size.scale_from(base.width, base.height))
    scale = max(size.height / base.height, size.cover_width / base.width)
    scaled = base.resize(scale)
    left, top = (scaled.width - size.cover_width) // 2, (scaled.height - size.height) // 2
    return scaled.crop(max(0, left), max(0, top), size.cover_width, size.height).copy_memory()


def encoded(image: pyvips.Image, fmt: RenditionFormat) -> RenderedImage:
    """Returns the encoded picture. Metadata are dropped, and so is a profile of sRGB."""
    return RenderedImage(body=_ENCODERS[fmt](image), width=image.width, height=image.height)
