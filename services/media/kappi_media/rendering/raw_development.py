"""Develops the sensor data of camera RAW by LibRaw, in a decoder process that has loaded it.

NumPy comes with LibRaw. Imports both: never import it in a service.
"""

from __future__ import annotations

import io
import math
from typing import Final

import pyvips
import rawpy
from kappi_mediameta.probing.facts import PictureHeader
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.profiles import SRGB
from kappi_media.rendering.ranged_file import RangedFile

# LibRaw needs about 13 bytes a pixel, and a decoder has 2 GiB.
_MAX_FULL_PIXELS: Final = 100_000_000


def developed(file: RangedFile, header: PictureHeader, *, needed: float) -> pyvips.Image:
    """Returns the developed picture. needed: its least height in pixels, as displayed."""
    width, height = header.stored_width, header.stored_height
    half = (
        2 * needed <= (width if header.capture.orientation >= 5 else height)
        or width * height > _MAX_FULL_PIXELS
    )
    file.seek(0)
    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(io.BytesIO(file.readall()))
            colours = raw.postprocess(half_size=half, use_camera_wb=True, output_bps=8, user_flip=0)
    except rawpy.LibRawUnsufficientMemoryError as error:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "LibRaw needs more memory") from error
    except rawpy.LibRawError as error:
        raise RenderRejected(RejectReason.CORRUPT, "LibRaw cannot develop it") from error
    rows, columns, bands = colours.shape
    image = pyvips.Image.new_from_memory(colours.tobytes(), columns, rows, bands, "uchar")
    image = image.copy(interpretation=SRGB)
    if image.max() == 0:  # LibRaw develops a file without its sensor data, too
        raise RenderRejected(RejectReason.CORRUPT, "camera RAW without sensor data")
    upright = _upright(_cropped(image, width / height), header.capture.orientation)
    return in_memory(upright.thumbnail_image(ANY_WIDTH, height=max(1, math.ceil(needed)), size="down"))


def _cropped(image: pyvips.Image, shape: float) -> pyvips.Image:
    """Returns the middle of that shape. LibRaw develops the edges that cameras crop."""
    width, height = (
        min(image.width, round(image.height * shape)),
        min(image.height, round(image.width / shape)),
    )
    return image.crop((image.width - width) // 2, (image.height - height) // 2, width, height)


def _upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Returns the picture turned by an EXIF orientation."""
    turned = image.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return turned.autorot()
