"""Encodes animated pictures as animated WebP, in a decoder process. Imports libvips: never import it in a
service.
"""

from __future__ import annotations

import io
from typing import Final

import PIL.TiffImagePlugin  # noqa: F401 - reads EXIF: a confined process could not import it later
import pyvips
from PIL import AvifImagePlugin, Image, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.PngImagePlugin import PngImageFile

from kappi_media.rendering.encoding import ANY_WIDTH, animated_webp, in_memory
from kappi_media.rendering.essentials import essentials
from kappi_media.rendering.picture import vips_source
from kappi_media.rendering.profiles import PROFILE, SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenderedImage, RenditionSize
from kappi_media.rendering.tiff_directory import MAX_PROFILE_BYTES

MAX_SHOWN_PIXELS: Final = 40_000_000
"""The limit of all frames together, at their shown size: encoding takes most of the time of a job."""
MAX_AVIF_BYTES: Final = 64 << 20
"""The limit of an AVIF that is shown animated: Pillow holds the whole file in memory."""
_ALL_FRAMES: Final = "n=-1"
_BY_VIPS: Final = ("image/gif", "image/webp")
_BY_PILLOW: Final = ("image/png", "image/avif")
_EIGHT_BIT_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_WHITE: Final = (255, 255, 255, 255)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def animation(
    file: RangedFile, *, content_type: str, size: RenditionSize, max_pixels: int
) -> RenderedImage | None:
    """Returns all frames of an AVIF, GIF, PNG or WebP at that height, with their durations, on white.

    max_pixels: of all frames together, as stored. Returns None when the picture is not animated, has too many
    frames, or is wanted as a cover; then a still picture is shown. Raises pyvips.Error.
    """
    if size.cover_width is not None:
        return None
    if content_type in _BY_VIPS:
        shown = _by_vips(file, content_type=content_type, size=size, max_pixels=max_pixels)
    elif content_type in _BY_PILLOW:
        shown = _by_pillow(file, content_type=content_type, size=size, max_pixels=max_pixels)
    else:
        shown = None
    if shown is None:
        return None
    return RenderedImage(body=animated_webp(shown), width=shown.width, height=shown.get("page-height"))


def _by_vips(
    file: RangedFile, *, content_type: str, size: RenditionSize, max_pixels: int
) -> pyvips.Image | None:
    source = vips_source(essentials(file, content_type=content_type, all_frames=True))
    header = pyvips.Image.new_from_source(source, _ALL_FRAMES, access="sequential")
    fields = header.get_fields()
    frames = header.get("n-pages") if "n-pages" in fields else 1
    if frames < 2 or "page-height" not in fields:
        return None
    height = header.get("page-height")
    if not _is_within(header.width, height, frames, size=size, max_pixels=max_pixels):
        return None
    shown = pyvips.Image.thumbnail_source(
        source, ANY_WIDTH, height=size.height, size="down", option_string=_ALL_FRAMES, fail_on="none"
    )
    return in_memory(shown)


def _by_pillow(
    file: RangedFile, *, content_type: str, size: RenditionSize, max_pixels: int
) -> pyvips.Image | None:
    """Returns the frames of a PNG or AVIF, of which libvips reads only the first. Returns None when a frame
    cannot be read; then a still picture is shown.
    """
    try:
        with _opened(file, content_type) as picture:
            number = getattr(picture, "n_frames", 1)
            if number < 2 or picture.mode not in _EIGHT_BIT_MODES:
                return None
            if not _is_within(*picture.size, number, size=size, max_pixels=max_pixels):
                return None
            return _joined(picture, number, size=size)
    except (OSError, SyntaxError, ValueError, EOFError):
        return None


def _opened(file: RangedFile, content_type: str) -> PngImageFile | AvifImageFile:
    # `Image.open` would import Pillow's readers of other formats, and a confined decoder opens no file.
    shown = essentials(file, content_type=content_type, all_frames=True)
    shown.seek(0)
    if content_type == "image/png":
        return PngImageFile(io.BufferedReader(shown))
    if file.size_bytes > MAX_AVIF_BYTES:
        raise ValueError("too large to be held")
    return AvifImageFile(io.BufferedReader(shown))


def _is_within(width: int, height: int, frames: int, *, size: RenditionSize, max_pixels: int) -> bool:
    scale = size.scale_from(width, height)
    pixels = width * height * frames
    return pixels <= max_pixels and pixels * scale * scale <= MAX_SHOWN_PIXELS


def _joined(picture: PngImageFile | AvifImageFile, number: int, *, size: RenditionSize) -> pyvips.Image:
    """Returns the frames below one another, with their durations. A PNG's default image, for readers without
    animation, is left out.
    """
    frames, times_ms = [], []
    profile = picture.info.get("icc_profile")
    loops = picture.info.get("loop", 0)
    for index in range(1 if getattr(picture, "default_image", False) else 0, number):
        picture.seek(index)
        picture.load()
        frames.append(_shown(picture, size))
        times_ms.append(round(picture.info.get("duration", 0)))
    joined = pyvips.Image.arrayjoin(frames, across=1).copy(interpretation=SRGB)
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        joined.set_type(pyvips.GValue.blob_type, PROFILE, profile)
        joined = joined.icc_transform(SRGB, embedded=True)
    joined = in_memory(joined)
    joined.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    joined.set_type(pyvips.GValue.gint_type, "loop", loops)
    joined.set_type(pyvips.GValue.array_int_type, "delay", times_ms)
    return joined


def _shown(picture: PngImageFile | AvifImageFile, size: RenditionSize) -> pyvips.Image:
    """Returns the current frame, upright, opaque, at that size."""
    frame = ImageOps.exif_transpose(picture).convert("RGBA")
    frame = Image.alpha_composite(Image.new("RGBA", frame.size, _WHITE), frame).convert("RGB")
    scale = size.scale_from(*frame.size)
    if scale < 1:
        shown = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        frame = frame.resize(shown, Image.Resampling.LANCZOS)
    return pyvips.Image.new_from_memory(frame.tobytes(), frame.width, frame.height, 3, "uchar")
