"""Animated pictures as animated WebP, in a decoder process. Imports libvips: never import it in a service."""

from __future__ import annotations

from typing import Final

import pyvips

from kappi_media.rendering.encoding import ANY_WIDTH, animated_webp, in_memory
from kappi_media.rendering.essentials import essentials
from kappi_media.rendering.picture import vips_source
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenderedImage, RenditionSize

MAX_SHOWN_PIXELS: Final = 40_000_000
"""Of all frames together, as they are shown: encoding takes most of the time of a job."""
_ALL_FRAMES: Final = "n=-1"
_FORMATS: Final = ("image/gif", "image/webp")


def animation(
    file: RangedFile, *, content_type: str, size: RenditionSize, max_pixels: int
) -> RenderedImage | None:
    """All frames of a GIF or WebP at that height, with their times, on white.

    max_pixels: of all frames together, as stored. None: it does not move, its frames are too many, or a cover
    is wanted; a still picture shows it then. Raises pyvips.Error.
    """
    if content_type not in _FORMATS or size.cover_width is not None:
        return None
    # The essentials of a GIF are those of its first frame.
    source = vips_source(file if content_type == "image/gif" else essentials(file, content_type=content_type))
    header = pyvips.Image.new_from_source(source, _ALL_FRAMES, access="sequential")
    fields = header.get_fields()
    frames = header.get("n-pages") if "n-pages" in fields else 1
    if frames < 2 or "page-height" not in fields or header.width * header.height > max_pixels:
        return None
    scale = size.scale_from(header.width, header.get("page-height"))
    if header.width * header.height * scale * scale > MAX_SHOWN_PIXELS:
        return None
    shown = pyvips.Image.thumbnail_source(
        source, ANY_WIDTH, height=size.height, size="down", option_string=_ALL_FRAMES, fail_on="none"
    )
    shown = in_memory(shown)
    return RenderedImage(body=animated_webp(shown), width=shown.width, height=shown.get("page-height"))
