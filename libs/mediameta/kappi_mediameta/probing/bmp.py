"""Header of a BMP: how pixels are stored, and whether all are there (Microsoft's BITMAPINFOHEADER family, and
that of OS/2, whose writers may leave out the last fields)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing.facts import PictureHeader, ProbeLimits
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader

FILE_HEADER_BYTES: Final = 14
HEADER_BYTES: Final = FILE_HEADER_BYTES + 124 + 16
"""With the masks that may follow the header."""
_CORE_HEADER_BYTES: Final = 12
_WINDOWS_HEADER_BYTES: Final = frozenset({40, 52, 56, 108, 124})
_V3_HEADER_BYTES: Final = 56  # the first header with a mask of opacity
PLAIN, RUNS_OF_8, RUNS_OF_4, BIT_FIELDS, BIT_FIELDS_AND_ALPHA = 0, 1, 2, 3, 6
_DEPTHS: Final = {  # bits a pixel, by compression
    PLAIN: frozenset({1, 4, 8, 16, 24, 32}),
    RUNS_OF_8: frozenset({8}),
    RUNS_OF_4: frozenset({4}),
    BIT_FIELDS: frozenset({16, 32}),
    BIT_FIELDS_AND_ALPHA: frozenset({16, 32}),
}
_PLAIN_MASKS: Final = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


@dataclass(frozen=True, slots=True)
class BmpHeader:
    """How pixels are stored. height: negative where rows are stored top down. masks: of red, green, blue and
    opacity in a pixel of 16 or 32 bits. palette_at: position of the colours, of `colour_bytes` each. colours:
    their number, 0 for all that the depth has.
    """

    width: int
    height: int
    depth: int
    compression: int
    pixels_at: int
    palette_at: int
    colour_bytes: int
    colours: int
    masks: tuple[int, int, int, int]

    @property
    def row_bytes(self) -> int:
        return (self.width * self.depth + 31) // 32 * 4


def header_of(head: bytes) -> BmpHeader:
    """Returns the parsed header. head: the file's first `HEADER_BYTES`, or all of a shorter file. Raises
    ProbeRejected."""
    head = head.ljust(HEADER_BYTES, b"\x00")
    pixels_at, size = struct.unpack_from("<II", head, 10)
    if size == _CORE_HEADER_BYTES:
        width, height, planes, depth = struct.unpack_from("<HHHH", head, 18)
        compression = colours = 0
    else:
        fields = head[18 : FILE_HEADER_BYTES + size].ljust(36, b"\x00")
        width, height, planes, depth, compression, _, _, _, colours, _ = struct.unpack_from(
            "<iiHHIIiiII", fields
        )
        if size not in _WINDOWS_HEADER_BYTES and compression > RUNS_OF_4:
            raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"BMP of OS/2, compression {compression}")
    if planes != 1:
        raise ProbeRejected(RejectReason.CORRUPT, f"{planes} planes")
    if depth not in _DEPTHS.get(compression, ()):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, f"BMP of {depth} bits, compression {compression}")
    palette_at = FILE_HEADER_BYTES + size
    masks = _PLAIN_MASKS.get(depth, (0, 0, 0, 0))
    if compression in (BIT_FIELDS, BIT_FIELDS_AND_ALPHA):
        masks = struct.unpack_from("<IIII", head, FILE_HEADER_BYTES + 40)
        if size < _V3_HEADER_BYTES and compression != BIT_FIELDS_AND_ALPHA:
            masks = (*masks[:3], 0)
    return BmpHeader(
        width=width,
        height=height,
        depth=depth,
        compression=compression,
        pixels_at=pixels_at,
        palette_at=palette_at,
        colour_bytes=3 if size == _CORE_HEADER_BYTES else 4,
        colours=colours,
        masks=masks,
    )


async def read_bmp(reader: BlockReader, limits: ProbeLimits) -> PictureHeader:
    header = header_of(await reader.read_upto(0, HEADER_BYTES))
    height = abs(header.height)
    limits.check_size(header.width, height)
    if any(not _is_one_run(mask) for mask in header.masks):
        raise ProbeRejected(RejectReason.UNSUPPORTED_TYPE, "BMP of masks with gaps")
    runs = header.compression in (RUNS_OF_4, RUNS_OF_8)
    if header.pixels_at + (2 if runs else header.row_bytes * height) > reader.size_bytes:
        raise ProbeRejected(RejectReason.TRUNCATED, "rows missing")
    return PictureHeader(header.width, height, "bmp")


def _is_one_run(mask: int) -> bool:
    """Returns whether the bits of a mask are next to each other."""
    run = mask + (mask & -mask)
    return run & mask == 0
