"""Decodes BMP, in a decoder process: Pillow for palettes, runs and 24 bits, libvips for bit fields.

Neither reads all of them: Pillow supports one header of OS/2 only, and few bit fields; libvips has no loader.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Final

import pyvips
from kappi_mediameta.probing.bmp import HEADER_BYTES, BmpHeader, header_of
from PIL.BmpImagePlugin import BmpImageFile

from kappi_media.rendering.encoding import ANY_WIDTH, in_memory
from kappi_media.rendering.picture import check_pixels
from kappi_media.rendering.pieces import Bytes, spliced
from kappi_media.rendering.profiles import SRGB
from kappi_media.rendering.ranged_file import RangedFile
from kappi_media.rendering.sizes import RenditionSize, least_scale

_WINDOWS_HEADER_BYTES: Final = 54
_COLOUR_BYTES: Final = 4


def load_bmp(file: RangedFile, *, sizes: Sequence[RenditionSize], max_pixels: int) -> pyvips.Image:
    """Returns the picture, upright, sRGB. Raises Rejected, OSError, ValueError, SyntaxError."""
    read = Bytes(file)
    header = header_of(read(0, HEADER_BYTES))
    width, height = header.width, abs(header.height)
    check_pixels(width, height, max_pixels)
    scale = least_scale(sizes, width, height)
    if header.depth in (16, 32):
        image = _of_masks(read, header)
        return in_memory(image.thumbnail_image(ANY_WIDTH, height=max(1, round(height * scale)), size="down"))
    # `Image.open` would import Pillow's readers of other formats, and a confined decoder opens no file.
    with BmpImageFile(io.BufferedReader(_of_windows(file, read, header))) as picture:
        pixels = picture.convert("RGB")
    shrink = max(1, int(1 / scale / 2))  # a cheap box filter first; at least twice the target size remains
    if shrink > 1:
        pixels = pixels.reduce(shrink)
    image = pyvips.Image.new_from_memory(pixels.tobytes(), pixels.width, pixels.height, 3, "uchar")
    return in_memory(image.copy(interpretation=SRGB))


def _of_windows(file: RangedFile, read: Bytes, header: BmpHeader) -> RangedFile:
    """Returns the file with the header that all readers support."""
    palette = b""
    if header.depth <= 8:
        most = min(header.colours or 1 << header.depth, 1 << header.depth)
        room = max(0, header.pixels_at - header.palette_at) // header.colour_bytes
        written = read(header.palette_at, min(most, room) * header.colour_bytes)
        colours = [written[at : at + 3] for at in range(0, len(written), header.colour_bytes)]
        palette = b"".join(colour.ljust(_COLOUR_BYTES, b"\x00") for colour in colours)
        palette = palette.ljust((1 << header.depth) * _COLOUR_BYTES, b"\x00")
    pixels_at = _WINDOWS_HEADER_BYTES + len(palette)
    size = pixels_at + max(0, file.size_bytes - header.pixels_at)
    start = b"BM" + struct.pack("<IIIIii", size & 0xFFFFFFFF, 0, pixels_at, 40, header.width, header.height)
    rest = struct.pack("<HHIIiiII", 1, header.depth, header.compression, 0, 0, 0, 0, 0)
    end = max(header.pixels_at, file.size_bytes)
    return spliced(file, [start + rest + palette, (header.pixels_at, end)])


def _of_masks(read: Bytes, header: BmpHeader) -> pyvips.Image:
    """Returns pixels of 16 or 32 bits, in which each colour has the bits of its mask."""
    height = abs(header.height)
    size = header.row_bytes * height
    body = read(header.pixels_at, size).ljust(size, b"\x00")
    pixel_bytes, form = (2, "ushort") if header.depth == 16 else (4, "uint")
    numbers = pyvips.Image.new_from_memory(body, header.row_bytes // pixel_bytes, height, 1, form)
    numbers = numbers.crop(0, 0, header.width, height)
    if header.height > 0:
        numbers = numbers.flipver()
    red, green, blue = (_channel(numbers, mask) for mask in header.masks[:3])
    image = red.bandjoin([green, blue]).copy(interpretation=SRGB)
    if header.masks[3]:
        opacity = _channel(numbers, header.masks[3])
        if opacity.max() > 0:  # many writers leave zeros there
            image = image.bandjoin(opacity)
    return image


def _channel(numbers: pyvips.Image, mask: int) -> pyvips.Image:
    """Returns eight bits of the adjacent bits of a mask."""
    if not mask:
        return (numbers * 0).cast("uchar")
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    return (((numbers >> shift) & top) * (255 / top)).rint().cast("uchar")
