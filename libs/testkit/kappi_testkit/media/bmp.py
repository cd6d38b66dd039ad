"""Writes BMP files that Pillow cannot write: headers of any length, colours of any bits."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from PIL import Image

from kappi_testkit.media.tiff import Pixels

MASKS: Final = {
    "5-6-5": (0xF800, 0x07E0, 0x001F),
    "5-5-5": (0x7C00, 0x03E0, 0x001F),
    "4-4-4": (0x0F00, 0x00F0, 0x000F),
    "red-last": (0x0000FF, 0x00FF00, 0xFF0000),
    "10-10-10": (0x3FF00000, 0x000FFC00, 0x000003FF),
    "high": (0xFF000000, 0x00FF0000, 0x0000FF00),
    "opaque": (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000),
}
HEADERS: Final = (40, 52, 56, 108, 124)
OS2_HEADERS: Final = (12, 16, 24, 48, 64)
_BIT_FIELDS, _BIT_FIELDS_AND_ALPHA = 3, 6


def of_masks(pixels: Pixels, masks: tuple[int, ...], *, header_bytes: int = 40) -> bytes:
    """Returns a BMP with each colour in the bits of its mask; a fourth mask is of opacity, which is full."""
    depth = 16 if max(masks) < 1 << 16 else 32
    numbers = np.zeros(pixels.shape[:2], "u4")
    opaque = np.full(pixels.shape[:2], 255, "u4")
    for mask, values in zip(masks, (*np.moveaxis(pixels.astype("u4"), 2, 0), opaque), strict=False):
        shift = (mask & -mask).bit_length() - 1
        numbers |= ((values * (mask >> shift) + 127) // 255).astype("u4") << shift
    rows = [row.astype(f"<u{depth // 8}").tobytes() for row in numbers]
    written = struct.pack(f"<{len(masks)}I", *masks)
    compression = _BIT_FIELDS_AND_ALPHA if len(masks) > 3 else _BIT_FIELDS
    return _file(rows, pixels, depth, header_bytes, compression=compression, masks=written)


def of_colours(pixels: Pixels, *, header_bytes: int = 40, top_down: bool = False) -> bytes:
    """Returns a BMP of 24 bits per pixel."""
    rows = [row[:, ::-1].tobytes() for row in pixels]
    return _file(rows, pixels, 24, header_bytes, top_down=top_down)


def of_palette(pixels: Pixels, depth: int, *, header_bytes: int = 40) -> bytes:
    """Returns a BMP with a palette. depth: 1, 4 or 8 bits per pixel."""
    reduced = Image.fromarray(pixels).quantize(1 << depth, dither=Image.Dither.NONE)
    numbers, each = np.asarray(reduced), 8 // depth
    palette = np.zeros((1 << depth, 3 if header_bytes == 12 else 4), "u1")
    flat = reduced.getpalette() or []
    colours = np.array(flat, "u1").reshape(-1, 3)[: 1 << depth]
    palette[: len(colours), :3] = colours[:, ::-1]
    rows = []
    for row in numbers:
        padded = np.pad(row, (0, -len(row) % each))
        parts = [padded[at::each].astype("u1") << (8 - depth * (at + 1)) for at in range(each)]
        rows.append(np.bitwise_or.reduce(parts).astype("u1").tobytes())
    return _file(rows, pixels, depth, header_bytes, palette=palette.tobytes())


def _file(
    rows: list[bytes],
    pixels: Pixels,
    depth: int,
    header_bytes: int,
    *,
    compression: int = 0,
    masks: bytes = b"",
    palette: bytes = b"",
    top_down: bool = False,
) -> bytes:
    height, width = pixels.shape[:2]
    if header_bytes == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        size = struct.pack("<Iii", header_bytes, width, -height if top_down else height)
        rest = struct.pack("<HHIIiiII", 1, depth, compression, 0, 2835, 2835, 0, 0)
        inside = masks if header_bytes > 40 else b""
        header = (size + rest + inside).ljust(header_bytes, b"\x00")[:header_bytes]
    if len(masks) > max(0, header_bytes - 40):
        header += masks[max(0, header_bytes - 40) :]
    stored = rows if top_down else rows[::-1]
    body = b"".join(row + bytes(-len(row) % 4) for row in stored)
    pixels_at = 14 + len(header) + len(palette)
    start = b"BM" + struct.pack("<IHHI", pixels_at + len(body), 0, 0, pixels_at)
    return start + header + palette + body
