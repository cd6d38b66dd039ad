"""Encodes pictures of high dynamic range as AVIF, in a decoder process: ten bits, and the numbers of their
colours (H.273), by which clients show all of the range or map it to their screens.

libvips does not write these numbers. It writes the box of an ICC profile, which is replaced here, and the
numbers of sRGB in the header of the AV1 sequence, which are replaced too.
"""

from __future__ import annotations

import struct
from typing import Final

import pyvips

from kappi_media.rendering.profiles import PROFILE, display_p3

_TRANSFER: Final = "kappi-transfer"
_PRIMARIES_FIELD: Final = "kappi-primaries"
_BT_601: Final = 6  # the matrix with which libheif encodes RGB
_FULL_RANGE: Final = 0x80
_SRGB: Final = (1, 13)
_SEQUENCE_BYTES: Final = 32  # of the coded picture; its header lies within them
_NUMBERS_BITS: Final = 25
_NUMBERS_MASK: Final = (1 << _NUMBERS_BITS) - 1
_PARENTS: Final = (b"meta", b"iprp", b"ipco")


def with_range(image: pyvips.Image, *, transfer: int, primaries: int) -> pyvips.Image:
    """Returns the picture with its numbers, by H.273. image: RGB of sixteen bits, as stored."""
    image = image.copy()
    for name, number in ((_TRANSFER, transfer), (_PRIMARIES_FIELD, primaries)):
        image.set_type(pyvips.GValue.gint_type, name, number)
    return image


def shrunk(image: pyvips.Image, scale: float) -> pyvips.Image:
    """Returns the picture at a scale of up to 1, upright, with its sixteen bits: `thumbnail_image` of libvips
    returns eight, which are too few for a high dynamic range.
    """
    small = image.resize(scale) if scale < 1 else image
    return small.copy_memory().autorot()


def has_range(image: pyvips.Image) -> bool:
    return _TRANSFER in image.get_fields()


def hdr_avif(image: pyvips.Image, *, effort: int) -> bytes:
    """Returns the encoded picture. image: from `with_range`."""
    marked = image.copy()
    marked.set_type(pyvips.GValue.blob_type, PROFILE, display_p3())
    body = bytes(marked.heifsave_buffer(Q=62, effort=effort, compression="av1", keep="icc", bitdepth=10))
    primaries, transfer = image.get(_PRIMARIES_FIELD), image.get(_TRANSFER)
    box = struct.pack(">4sHHHB", b"nclx", primaries, transfer, _BT_601, _FULL_RANGE)
    return _with_sequence(_with_box(body, box), primaries, transfer)


def _with_box(body: bytes, numbers: bytes) -> bytes:
    """Returns the file with the numbers in place of the profile, and padding behind `meta`: no other byte
    moves.
    """
    at = body.index(b"colr") - 4
    (length,) = struct.unpack_from(">I", body, at)
    box = struct.pack(">I4s", 8 + len(numbers), b"colr") + numbers
    spare = length - len(box)
    shrunk_sizes = bytearray(body)
    end = 0
    for name in _PARENTS:
        size_at = body.rindex(name, 0, at) - 4
        (size,) = struct.unpack_from(">I", body, size_at)
        struct.pack_into(">I", shrunk_sizes, size_at, size - spare)
        end = end or size_at + size
    padding = struct.pack(">I4s", spare, b"free") + bytes(spare - 8)
    before, after = bytes(shrunk_sizes[:at]), bytes(shrunk_sizes[at + length : end])
    return before + box + after + padding + body[end:]


def _with_sequence(body: bytes, primaries: int, transfer: int) -> bytes:
    """Returns the file with the numbers in the header of the AV1 sequence, at any bit, behind a flag."""
    at = body.index(b"mdat") + 4
    header = int.from_bytes(body[at : at + _SEQUENCE_BYTES], "big")
    before, after = (_bits(*numbers) for numbers in (_SRGB, (primaries, transfer)))
    for shift in range(8 * _SEQUENCE_BYTES - _NUMBERS_BITS, -1, -1):
        if header >> shift & _NUMBERS_MASK == before:
            changed = header ^ (before ^ after) << shift
            return body[:at] + changed.to_bytes(_SEQUENCE_BYTES, "big") + body[at + _SEQUENCE_BYTES :]
    return body


def _bits(primaries: int, transfer: int) -> int:
    return 1 << 24 | primaries << 16 | transfer << 8 | _BT_601
