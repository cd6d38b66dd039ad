"""The shape of a picture by its properties: coded size, cut and turns."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.matrix import (
    IDENTITY,
    QUARTER_TURN,
    SIDEWAYS_MIRROR,
    UPSIDE_DOWN_MIRROR,
    orientation_of,
    product,
)
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

TURNS: Final = (b"irot", b"imir")
_MAX_TRANSFORMS: Final = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """coded_*: as decoded. stored_*: after the cut, before the turns. orientation: EXIF 1..8. turns: whether
    there are properties of turns, also of a turn by nothing."""

    coded_width: int
    coded_height: int
    stored_width: int
    stored_height: int
    orientation: int
    turns: bool


async def shape_of(boxes: BoxReader, properties: Iterable[Box]) -> Shape | None:
    """Returns the shape by `ispe`, then `clap`, `irot` and `imir` in their order, or None without an `ispe`.

    Raises ProbeRejected.
    """
    listed = list(properties)
    # Some cameras list the size behind the turns that follow it.
    size = next((box for box in listed if box.name == b"ispe"), None)
    if size is None:
        return None
    coded_width, coded_height = struct.unpack(">II", (await boxes.fields(size, 12))[4:12])
    width, height = coded_width, coded_height
    matrix = IDENTITY
    transforms = 0
    for box in listed:
        if box.name == b"clap":
            width, height = _cut(await boxes.fields(box, 16), width, height)
        elif box.name == b"irot":
            for _ in range((await boxes.fields(box, 1))[0] & 3):
                matrix = product(matrix, QUARTER_TURN)
                width, height = height, width
        elif box.name == b"imir":
            upside_down = (await boxes.fields(box, 1))[0] & 1 == 0
            matrix = product(matrix, UPSIDE_DOWN_MIRROR if upside_down else SIDEWAYS_MIRROR)
        else:
            continue
        transforms += 1
        if transforms > _MAX_TRANSFORMS:
            raise ProbeRejected(RejectReason.CORRUPT, "turned too often")
    orientation = orientation_of(matrix)
    stored = (height, width) if orientation >= 5 else (width, height)
    turns = any(box.name in TURNS for box in listed)
    return Shape(coded_width, coded_height, *stored, orientation, turns)


def _cut(body: bytes, width: int, height: int) -> tuple[int, int]:
    """Returns the size of a clean aperture: two fractions. A damaged one, or a larger one, cuts nothing."""
    top_width, low_width, top_height, low_height = struct.unpack(">IIII", body)
    if not low_width or not low_height:
        return width, height
    cut_width, cut_height = top_width // low_width, top_height // low_height
    if not (1 <= cut_width <= width and 1 <= cut_height <= height):
        return width, height
    return cut_width, cut_height
