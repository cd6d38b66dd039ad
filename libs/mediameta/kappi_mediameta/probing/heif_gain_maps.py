"""The gain map of a HEIC or AVIF: a picture that says how much brighter each part of the shown picture was.

ISO 21496-1 keeps its numbers in a derived item (`tmap`) of the picture and the map. Apple's devices keep the
map as an auxiliary picture, and its one number in XMP or in the maker note.

Source: ISO 21496-1; ISO/IEC 23008-12 with amendment 1; Apple, "Applying Apple HDR effect to your photos".
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing.apple import headroom_of
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.exif import exif_tags
from kappi_mediameta.probing.facts import ProbeLimits
from kappi_mediameta.probing.heif import Still, another_of, exif_block, item_body
from kappi_mediameta.probing.heif_items import XMP_KIND, PictureItems
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import MAKER_NOTE

_APPLE: Final = b"\x00\x00\x00\x00urn:com:apple:photo:2020:aux:hdrgainmap\x00"
_VERSION: Final = b"HDRGainMapVersion"
_HEADROOM: Final = re.compile(rb"HDRGainMapHeadroom(?:=[\"']|>)\s{0,9}(\d{1,4}(?:\.\d{1,20})?)\s{0,9}[\"'<]")
_MOST_HEADROOM: Final = 256.0
_MAX_COLOUR_BYTES: Final = 64 << 10
_HEAD: Final = struct.Struct(">BHHB4I")
_CHANNEL: Final = struct.Struct(">iIiIIIiIiI")
_THREE_CHANNELS, _COLOURS_OF_BASE = 0x80, 0x40
_MOST_STOPS: Final = 16  # no device has more


@dataclass(frozen=True, slots=True)
class Gains:
    """The numbers of ISO 21496-1, for one channel or for three.

    least, most: of the gains, in stops. before, after: what is added to light before it is multiplied, and
    what is subtracted after that.
    """

    least: tuple[float, ...]
    most: tuple[float, ...]
    gamma: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GainMap:
    """The picture of gains, and their numbers: those of the standard, or Apple's headroom.

    colours: the body of the `colr` box whose primaries the gains are for; empty for those of the shown
    picture.
    """

    picture: Still
    gains: Gains | float
    colours: bytes = b""


async def read_gain_map(reader: BlockReader, still: Still, limits: ProbeLimits) -> GainMap | None:
    """Returns the gain map of the shown picture, or None. Raises ProbeRejected."""
    items = still.items
    for item_id, parts in items.parts.items():
        if items.kinds.get(item_id) == b"tmap" and len(parts) == 2 and parts[0] == items.primary:
            body = await item_body(reader, items, item_id)
            gains = gains_of(body)
            if gains is not None:
                colours = b"" if body[5] & _COLOURS_OF_BASE else await _colours(reader, items, item_id)
                return GainMap(await another_of(reader, still, parts[1], limits), gains, colours)
    return await _of_apple(reader, still, limits)


def gains_of(body: bytes) -> Gains | None:
    """Returns the numbers in the body of a `tmap` item; None for a later version, for damaged numbers, and
    where the map makes the picture darker as a whole.
    """
    if len(body) < _HEAD.size:
        return None
    version, least_version, writer, flags, base, base_parts, other, other_parts = _HEAD.unpack_from(body)
    end = _HEAD.size + _CHANNEL.size * (3 if flags & _THREE_CHANNELS else 1)
    if version or least_version or len(body) < end or (writer == 0 and len(body) > end):
        return None
    channels = list(_CHANNEL.iter_unpack(body[_HEAD.size : end]))
    denominators = [base_parts, other_parts, *(part for channel in channels for part in channel[1::2])]
    if not all(denominators) or base / base_parts >= other / other_parts:
        return None
    values = [[top / low for top, low in zip(each[::2], each[1::2], strict=True)] for each in channels]
    if any(not -_MOST_STOPS <= v[0] <= v[1] <= _MOST_STOPS or v[2] <= 0 for v in values):
        return None
    least, most, gamma, before, after = (tuple(row) for row in zip(*values, strict=True))
    return Gains(least=least, most=most, gamma=gamma, before=before, after=after)


async def _colours(reader: BlockReader, items: PictureItems, item_id: int) -> bytes:
    found = next((box for box in items.properties.get(item_id, ()) if box.name == b"colr"), None)
    if found is None:
        return b""
    return await BoxReader(reader, max_boxes=1).body(found, at_most=_MAX_COLOUR_BYTES)


async def _of_apple(reader: BlockReader, still: Still, limits: ProbeLimits) -> GainMap | None:
    items = still.items
    boxes = BoxReader(reader, max_boxes=1)
    for item_id in items.auxiliaries:
        kinds = [box for box in items.properties.get(item_id, ()) if box.name == b"auxC"]
        if any([await boxes.body(box, at_most=len(_APPLE)) == _APPLE for box in kinds]):
            headroom = await _headroom(reader, items, item_id)
            if headroom is None or headroom <= 1:
                return None
            return GainMap(await another_of(reader, still, item_id, limits), min(headroom, _MOST_HEADROOM))
    return None


async def _headroom(reader: BlockReader, items: PictureItems, item_id: int) -> float | None:
    """Returns the headroom. A map without a version in its XMP is not valid."""
    packet = next(
        (
            block
            for block, about in items.described.items()
            if items.kinds.get(block) == XMP_KIND and item_id in about
        ),
        None,
    )
    text = await item_body(reader, items, packet)
    if _VERSION not in text:
        return None
    written = _HEADROOM.search(text)
    if written is not None:
        return float(written.group(1))
    maker_note = exif_tags(await exif_block(reader, items)).exif.get(MAKER_NOTE)
    return headroom_of(maker_note) if isinstance(maker_note, bytes) else None
