"""Size and shape of the pixels of coded video, by the headers within the stream.

Sources: ITU-T H.264 (sections 7.3.2.1, E.1.1), ITU-T H.265 (sections 7.3.2.2, 7.3.3, 7.3.4, 7.3.7, E.2.1),
ISO/IEC 13818-2 (section 6.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from kappi_mediameta.probing.bits import BitReader
from kappi_mediameta.probing.movie_tracks import square_width

START: Final = b"\x00\x00\x01"
"""The code before each unit."""
_EMULATION: Final = re.compile(rb"\x00\x00\x03")
_MAX_HEADER_BYTES: Final = 1 << 10
_H264_PARAMETERS, _HEVC_PARAMETERS = 7, 33
_SEQUENCE, _EXTENSION, _PICTURE = (b"\x00\x00\x01" + bytes([code]) for code in (0xB3, 0xB5, 0x00))
# Profiles with the formats of chroma and depth.
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SHAPES: Final = {
    number: Fraction(*sides)
    for number, sides in enumerate(
        (
            *((1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33)),
            *((18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
        ),
        start=1,
    )
}
_OWN_SHAPE: Final = 255
# Of the whole picture, by the number in a sequence header.
_PICTURE_SHAPES: Final = {2: Fraction(4, 3), 3: Fraction(16, 9), 4: Fraction(221, 100)}


class CodedSize(NamedTuple):
    """width, height: as shown, without the cut-off edges. shape: width of a pixel by its height, or None."""

    width: int
    height: int
    shape: Fraction | None

    @property
    def square_width(self) -> int:
        return square_width(self.width, self.shape)


def units(stream: bytes) -> Iterator[bytes]:
    """Yields the units between start codes, without the last one, which may be cut off."""
    at = stream.find(START)
    following = stream.find(START, at + 3)
    while 0 <= at < following:
        yield stream[at + 3 : following]
        at, following = following, stream.find(START, following + 3)


def plain(unit: bytes) -> bytes:
    """Returns the unit without the bytes that keep start codes from appearing in it."""
    return _EMULATION.sub(b"\x00\x00", unit)


def h264_size(stream: bytes) -> CodedSize | None:
    """Returns the size by the first whole parameter set, or None. Raises ProbeRejected for a damaged one."""
    for unit in units(stream):
        if unit[:1] and unit[0] & 0x1F == _H264_PARAMETERS:
            return _h264(BitReader(plain(unit[1:_MAX_HEADER_BYTES])))
    return None


def hevc_size(stream: bytes) -> CodedSize | None:
    """Returns the size by the first whole parameter set, or None. Raises ProbeRejected for a damaged one."""
    for unit in units(stream):
        if unit[:1] and unit[0] >> 1 & 0x3F == _HEVC_PARAMETERS:
            return _hevc(BitReader(plain(unit[2:_MAX_HEADER_BYTES])))
    return None


def mpeg2_size(stream: bytes) -> CodedSize | None:
    """Returns the size by the first sequence header that a picture follows, or None."""
    at = stream.find(_SEQUENCE)
    picture = stream.find(_PICTURE, at)
    if at < 0 or picture < at + 8:
        return None
    header = stream[at + 4 : at + 8]
    sides = int.from_bytes(header[:3], "big")
    width, height, shape = sides >> 12, sides & 0xFFF, header[3] >> 4
    extension = stream.find(_EXTENSION, at, picture)
    body = stream[extension + 4 : extension + 8]
    if extension < 0 or len(body) < 4 or body[0] >> 4 != 1:
        return CodedSize(width, height, None)  # MPEG-1, whose shapes are another list
    more = int.from_bytes(body, "big")
    width |= (more >> 15 & 3) << 12
    height |= (more >> 13 & 3) << 12
    whole = _PICTURE_SHAPES.get(shape)
    return CodedSize(width, height, whole * height / width if whole and width and height else None)


def _shape(bits: BitReader) -> Fraction | None:
    """Returns the shape by the start of the usability information."""
    if not bits.flag() or not bits.flag():
        return None
    number = bits.bits(8)
    if number != _OWN_SHAPE:
        return _SHAPES.get(number)
    across, down = bits.bits(16), bits.bits(16)
    return Fraction(across, down) if across and down else None


def _h264(bits: BitReader) -> CodedSize:
    profile = bits.bits(8)
    bits.bits(16)
    bits.unsigned()
    chroma, separate = 1, False
    if profile in _HIGH_PROFILES:
        chroma = bits.count(3)
        separate = chroma == 3 and bits.flag()
        bits.skip(2)
        bits.flag()
        if bits.flag():
            for number in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_h264_list(bits, 16 if number < 6 else 64)
    bits.skip(1)
    order = bits.unsigned()
    if order == 0:
        bits.skip(1)
    elif order == 1:
        bits.flag()
        bits.skip(2)
        bits.skip(bits.count(255))
    bits.skip(1)
    bits.flag()
    width, rows = 16 * (bits.unsigned() + 1), bits.unsigned() + 1
    whole_frames = bits.flag()
    if not whole_frames:
        bits.flag()
    bits.flag()
    height = 16 * rows * (1 if whole_frames else 2)
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        across = 2 if chroma in (1, 2) and not separate else 1
        down = (2 if chroma == 1 and not separate else 1) * (1 if whole_frames else 2)
        width -= across * (left + right)
        height -= down * (top + bottom)
    return CodedSize(width, height, _shape(bits))


def _skip_h264_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _hevc(bits: BitReader) -> CodedSize:
    bits.bits(4)
    layers = bits.bits(3)
    bits.flag()
    _skip_profile(bits, layers)
    bits.unsigned()
    chroma = bits.count(3)
    separate = chroma == 3 and bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        width -= (2 if chroma in (1, 2) and not separate else 1) * (left + right)
        height -= (2 if chroma == 1 and not separate else 1) * (top + bottom)
    bits.skip(2)
    order_bits = bits.count(12) + 4
    bits.skip(3 * (layers + 1 if bits.flag() else 1))
    bits.skip(6)
    if bits.flag() and bits.flag():
        _skip_hevc_lists(bits)
    bits.bits(2)
    if bits.flag():
        bits.bits(8)
        bits.skip(2)
        bits.flag()
    _skip_references(bits)
    if bits.flag():
        for _ in range(bits.count(32)):
            bits.bits(order_bits + 1)
    bits.bits(2)
    return CodedSize(width, height, _shape(bits))


def _skip_profile(bits: BitReader, layers: int) -> None:
    bits.bits(96)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.bits(2 * (8 - layers))
    for profile, level in present:
        bits.bits(88 * profile + 8 * level)


def _skip_hevc_lists(bits: BitReader) -> None:
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.skip(1)
                continue
            bits.skip((1 if size > 1 else 0) + min(64, 1 << (4 + 2 * size)))


def _skip_references(bits: BitReader) -> None:
    """Passes over the sets of reference pictures, each of which may be told by the one before."""
    pictures = 0
    for number in range(bits.count(64)):
        if number and bits.flag():
            bits.flag()
            bits.unsigned()
            pictures = sum([bits.flag() or bits.flag() for _ in range(pictures + 1)])
            continue
        before, after = bits.count(16), bits.count(16)
        pictures = before + after
        for _ in range(pictures):
            bits.unsigned()
            bits.flag()
