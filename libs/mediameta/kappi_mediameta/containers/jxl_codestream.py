"""The header of a JPEG XL codestream: size and metadata, as a sequence of bits (ISO/IEC 18181-1, annexes B to
E). The frames behind it are not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SIGNATURE: Final = b"\xff\x0a"
MAX_HEADER_BYTES: Final = 4096
"""The most of a codestream that is read. Encoders write some twenty bytes."""
RGB, GREY = 0, 1
"""Colour spaces; the other two are XYB and unknown."""
BT_709, BT_2100, P3 = 1, 9, 11
"""Primaries."""
PQ, HLG = 16, 18
"""Transfer functions."""
ALPHA, BLACK, FILTER_ARRAY = 0, 4, 5
"""Kinds of extra channels: opacity, the fourth ink of CMYK, and the colours of a camera's sensor."""
_MAX_EXTRA_CHANNELS: Final = 256
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE: Final = ((9, 1), (13, 1), (18, 1), (30, 1))
_PREVIEW_BY_8: Final = ((0, 16), (0, 32), (5, 1), (9, 33))
_PREVIEW: Final = ((6, 1), (8, 65), (10, 321), (12, 1345))
_ENUM: Final = ((0, 0), (0, 1), (4, 2), (6, 18))
_COORDINATE: Final = ((19, 0), (19, 524_288), (20, 1_048_576), (21, 2_097_152))
_WHOLE_BITS: Final = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_BITS: Final = ((0, 32), (0, 16), (0, 24), (6, 1))
_CUSTOM: Final = 2
_SPOT_COLOUR: Final = 2
_XYB: Final = 2
_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


class BadCodestream(Exception):
    """The header contradicts its format, or is longer than any encoder writes it."""


class CutCodestream(BadCodestream):
    """The header goes on behind the end."""


@dataclass(slots=True)
class JxlHeader:
    """width, height: as stored. orientation: EXIF 1..8. profiled: the colours have an ICC profile, which is
    packed behind this header; then the four fields of colour do not count. premultiplied: colours are
    multiplied by the opacity."""

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int = 8
    extra_channels: list[int] = field(default_factory=list)
    premultiplied: bool = False
    profiled: bool = False
    colour_space: int = RGB
    primaries: int = BT_709
    transfer: int = 13


class _Bits:
    """Reads numbers of any number of bits, the lowest bit of each byte first."""

    def __init__(self, body: bytes) -> None:
        self._number = int.from_bytes(body, "little")
        self._left = 8 * len(body)

    def take(self, count: int) -> int:
        if count > self._left:
            raise CutCodestream("header without an end")
        taken = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return taken

    def flag(self) -> bool:
        return bool(self.take(1))

    def choice(self, choices: _Choices) -> int:
        """Returns a number after two bits that choose its number of bits, and what is added."""
        count, added = choices[self.take(2)]
        return self.take(count) + added


def header_of(body: bytes) -> JxlHeader:
    """Returns the header. body: the start of a codestream, with its signature. Raises BadCodestream."""
    if body[:2] != SIGNATURE:
        raise BadCodestream("no codestream")
    bits = _Bits(body[2:MAX_HEADER_BYTES])
    header = JxlHeader(*_size(bits))
    if bits.flag():  # all values are the usual ones
        return header
    if bits.flag():
        header.orientation = 1 + bits.take(3)
        if bits.flag():
            _size(bits)  # at which the picture should be shown
        if bits.flag():
            _preview(bits)
        header.animated = bits.flag()
        if header.animated:
            _animation(bits)
    header.bits = _depth(bits)
    bits.flag()  # whether sixteen bits are enough to decode it
    _extra_channels(bits, header)
    bits.flag()  # whether it is stored in the colours of the format itself
    _colours(bits, header)
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    by_8 = bits.flag()
    height = 8 * (1 + bits.take(5)) if by_8 else bits.choice(_SIDE)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return (8 * (1 + bits.take(5)) if by_8 else bits.choice(_SIDE)), height


def _preview(bits: _Bits) -> None:
    choices = _PREVIEW_BY_8 if bits.flag() else _PREVIEW
    bits.choice(choices)
    if not bits.take(3):
        bits.choice(choices)


def _animation(bits: _Bits) -> None:
    bits.choice(((0, 100), (0, 1000), (10, 1), (30, 1)))  # ticks per second
    bits.choice(((0, 1), (0, 1001), (8, 1), (10, 1)))
    bits.choice(((0, 0), (3, 0), (16, 0), (32, 0)))  # repetitions
    bits.flag()


def _depth(bits: _Bits) -> int:
    if not bits.flag():
        return bits.choice(_WHOLE_BITS)
    depth = bits.choice(_FLOAT_BITS)
    bits.take(4)
    return depth


def _extra_channels(bits: _Bits, header: JxlHeader) -> None:
    number = bits.choice(((0, 0), (0, 1), (4, 2), (12, 1)))
    if number > _MAX_EXTRA_CHANNELS:
        raise BadCodestream(f"{number} extra channels")
    for _ in range(number):
        if bits.flag():  # an opacity with usual values
            header.extra_channels.append(ALPHA)
            continue
        kind = bits.choice(_ENUM)
        _depth(bits)
        bits.choice(((0, 0), (0, 3), (0, 4), (3, 1)))
        bits.take(8 * bits.choice(((0, 0), (4, 0), (5, 16), (10, 48))))  # its name
        if kind == ALPHA:
            multiplied = bits.flag()
            header.premultiplied |= multiplied and ALPHA not in header.extra_channels
        elif kind == _SPOT_COLOUR:
            bits.take(4 * 16)
        elif kind == FILTER_ARRAY:
            bits.choice(((0, 1), (2, 0), (4, 3), (8, 19)))
        header.extra_channels.append(kind)


def _colours(bits: _Bits, header: JxlHeader) -> None:
    if bits.flag():
        return
    header.profiled = bits.flag()
    header.colour_space = bits.choice(_ENUM)
    if header.profiled or header.colour_space == _XYB:
        return
    if bits.choice(_ENUM) == _CUSTOM:
        _point(bits)
    if header.colour_space != GREY:
        header.primaries = bits.choice(_ENUM)
        if header.primaries == _CUSTOM:
            for _ in range(3):
                _point(bits)
    if bits.flag():
        bits.take(24)  # a power
        header.transfer = 0
    else:
        header.transfer = bits.choice(_ENUM)


def _point(bits: _Bits) -> None:
    bits.choice(_COORDINATE)
    bits.choice(_COORDINATE)
