"""Writes a HEIF file of one picture of another file: decoders do not show an auxiliary picture by itself.

The bytes of the picture and of its tiles are not copied. Rotation and mirror are left out.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.heif import Still, codec_of
from kappi_mediameta.probing.heif_items import Extent
from kappi_mediameta.probing.rejection import RejectReason, RenderRejected

from kappi_media.rendering.pieces import Bytes, Piece, spliced
from kappi_media.rendering.ranged_file import RangedFile

_MAX_BYTES: Final = 64 << 20
_MAX_ITEMS: Final = 1_024
_MAX_PROPERTY_BYTES: Final = 64 << 10
_MAX_PROPERTIES: Final = 1_024
_KEPT: Final = frozenset({b"ispe", b"pixi", b"hvcC", b"av1C", b"clap"})
_NUMBERS: Final = b"nclx"


class _Item(NamedTuple):
    kind: bytes
    extents: tuple[Extent, ...]
    properties: tuple[Box, ...]

    @property
    def size_bytes(self) -> int:
        return sum(extent.length for extent in self.extents)


def file_of(file: RangedFile, still: Still) -> RangedFile:
    """Returns a file with that picture only. Raises RenderRejected when it has too many parts."""
    read = Bytes(file)
    items = _items(read, still)
    boxes = list(dict.fromkeys(box for item in items for box in item.properties))
    data_bytes = sum(item.size_bytes for item in items)
    sizes = [box.size_bytes for box in boxes]
    if data_bytes > _MAX_BYTES or len(sizes) > _MAX_PROPERTIES or max(sizes, default=0) > _MAX_PROPERTY_BYTES:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "a picture of too many parts")
    iprp = _iprp(items, boxes, [_box(box.name, read(box.start, box.size_bytes)) for box in boxes])
    brand = b"avif" if codec_of(still.items) == "av1" else b"heic"
    start = _box(b"ftyp", brand, bytes(4), b"mif1", brand)
    data_at = len(start) + len(_meta(items, iprp, data_at=0)) + 8
    head = start + _meta(items, iprp, data_at=data_at) + struct.pack(">I4s", 8 + data_bytes, b"mdat")
    spans: list[Piece] = [(extent.start, extent.end) for item in items for extent in item.extents]
    return spliced(file, [head, *spans])


def _items(read: Bytes, still: Still) -> list[_Item]:
    """Returns the picture and its tiles, with the properties that decoders need."""
    items = still.items
    primary = items.primary or 0
    numbers = (primary, *items.parts.get(primary, ()))
    if len(numbers) > _MAX_ITEMS:
        raise RenderRejected(RejectReason.TOO_COMPLEX, "a picture of too many tiles")
    return [
        _Item(
            kind=items.kinds.get(number, b""),
            extents=items.places.get(number, ()),
            properties=tuple(box for box in items.properties.get(number, ()) if _is_kept(read, box)),
        )
        for number in numbers
    ]


def _is_kept(read: Bytes, box: Box) -> bool:
    return box.name in _KEPT or (box.name == b"colr" and read(box.start, 4) == _NUMBERS)


def _meta(items: list[_Item], iprp: bytes, *, data_at: int) -> bytes:
    """Returns the tables. data_at: position of the first item's bytes; those of the others follow."""
    entries = places = b""
    for number, item in enumerate(items, 1):
        entries += _full_box(b"infe", struct.pack(">HH4sx", number, 0, item.kind), version=2)
        places += struct.pack(">HHHII", number, 0, 1, data_at, item.size_bytes)
        data_at += item.size_bytes
    tiles = range(2, len(items) + 1)
    parts = _box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles))
    count = struct.pack(">H", len(items))
    return _full_box(
        b"meta",
        _full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        _full_box(b"pitm", struct.pack(">H", 1)),
        _full_box(b"iloc", b"\x44\x00", count, places),
        _full_box(b"iinf", count, entries),
        _full_box(b"iref", parts) if tiles else b"",
        iprp,
    )


def _iprp(items: list[_Item], boxes: list[Box], properties: list[bytes]) -> bytes:
    associations = b""
    index_of = {box: index for index, box in enumerate(boxes, 1)}
    for number, item in enumerate(items, 1):
        indices = [index_of[box] for box in item.properties]
        associations += struct.pack(f">HB{len(indices)}H", number, len(indices), *indices)
    table = _full_box(b"ipma", struct.pack(">I", len(items)), associations, flags=1)
    return _box(b"iprp", _box(b"ipco", *properties), table)


def _box(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full_box(name: bytes, *bodies: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(name, bytes([version]) + flags.to_bytes(3, "big"), *bodies)
