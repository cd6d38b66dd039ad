"""Builds HEIF files from encoded pictures: grids, thumbnails, auxiliary pictures."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.probing.blocking import BlockingSource, at_once
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.heif_items import PictureItems, read_items
from kappi_mediameta.probing.source import BlockReader
from PIL import Image

from kappi_testkit.media.containers import box, full_box, ispe
from kappi_testkit.media.samples import encode, register_heif

Coding = Literal["HEIF", "AVIF"]
OPACITY: Final = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
DEPTH: Final = b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth"


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a file.

    properties: whole boxes. refers: kind of reference, and the numbers of the items that it refers to. names:
    the texts of its entry. hidden: it is no picture to show by itself.
    """

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()
    refers: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    names: bytes = b"\x00"
    hidden: bool = False


def coded(picture: Image.Image, coding: Coding, **options: object) -> Item:
    """Returns a picture as an encoder codes it, with the properties that its decoder needs and its size."""
    register_heif()
    body = encode(picture, coding, options={"quality": 95, **options})
    items = at_once(_items(body))
    assert items.primary is not None
    data = b"".join(body[place.start : place.end] for place in items.places[items.primary])
    kept = [part for part in items.properties[items.primary] if part.name in (b"hvcC", b"av1C")]
    settings = [box(part.name, body[part.start : part.end]) for part in kept]
    return Item(items.kinds[items.primary], data, (ispe(*picture.size), *settings))


def grid(columns: int, rows: int, size: tuple[int, int], *, tiles: Sequence[int]) -> Item:
    """Returns a grid. tiles: the numbers of their items, row by row."""
    data = bytes((0, 0, rows - 1, columns - 1)) + struct.pack(">HH", *size)
    return Item(b"grid", data, (ispe(*size),), ((b"dimg", tuple(tiles)),))


def auxiliary(kind: bytes, item: Item, *, of: int) -> Item:
    """Returns an auxiliary picture. kind: its relation to the picture."""
    properties = (*item.properties, full_box(b"auxC", kind + b"\x00"))
    return Item(item.kind, item.data, properties, (*item.refers, (b"auxl", (of,))))


def xmp(packet: bytes, *, of: int) -> Item:
    names = b"\x00application/rdf+xml\x00"
    return Item(b"mime", packet, refers=((b"cdsc", (of,)),), names=names)


def range_of(*, full: bool) -> bytes:
    """Returns the colour numbers of sRGB, in the full or the limited range."""
    return box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, full << 7))


def heif(
    items: Sequence[tuple[int, Item]], *, primary: int, exif: bytes = b"", alternatives: Sequence[int] = ()
) -> bytes:
    """Returns a file of items by number, in the given order. exif: a TIFF block, of the primary picture.
    alternatives: items of which one is shown, the best first.
    """
    listed = list(items)
    if exif:
        number = 1 + max(number for number, _ in listed)
        listed.append((number, Item(b"Exif", bytes(4) + exif, refers=((b"cdsc", (primary,)),))))
    group = struct.pack(f">II{len(alternatives)}I", 1 << 16, len(alternatives), *alternatives)
    groups = full_box(b"grpl", full_box(b"altr", group)) if alternatives else b""
    start = _assembled(listed, primary, 0, groups).index(b"mdat") + 4
    return _assembled(listed, primary, start, groups)


def _assembled(items: Sequence[tuple[int, Item]], primary: int, data_at: int, groups: bytes) -> bytes:
    entries = places = associated = references = b""
    properties: list[bytes] = []
    position = data_at
    for number, item in items:
        entry = struct.pack(">HH", number, 0) + item.kind + item.names
        entries += full_box(b"infe", entry, version=2, flags=int(item.hidden))
        places += struct.pack(">HHHII", number, 0, 1, position, len(item.data))
        position += len(item.data)
        properties += [part for part in item.properties if part not in properties]  # shared, as encoders do
        indices = [properties.index(part) + 1 for part in item.properties]
        associated += struct.pack(">HB", number, len(indices)) + bytes(indices)
        for kind, targets in item.refers:
            references += box(kind, struct.pack(f">HH{len(targets)}H", number, len(targets), *targets))
    meta = full_box(
        b"meta",
        full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
        full_box(b"pitm", struct.pack(">H", primary)),
        full_box(b"iloc", b"\x44\x00", struct.pack(">H", len(items)), places),
        full_box(b"iinf", struct.pack(">H", len(items)), entries),
        full_box(b"iref", references) if references else b"",
        box(
            b"iprp",
            box(b"ipco", *properties),
            full_box(b"ipma", struct.pack(">I", len(items)), associated),
        ),
        groups,
    )
    brand = b"avif" if any(item.kind == b"av01" for _, item in items) else b"heic"
    toned = b"tmap" if any(item.kind == b"tmap" for _, item in items) else b""
    start = box(b"ftyp", brand, bytes(4), b"mif1", brand, toned)
    return start + meta + box(b"mdat", *(item.data for _, item in items))


async def _items(body: bytes) -> PictureItems:
    source = BlockingSource(lambda start, length: body[start : start + length], size_bytes=len(body))
    boxes = BoxReader(BlockReader(source, max_reads=100, max_read_bytes=8 << 20), max_boxes=1_000)
    metas: list[Box] = [part async for part in boxes.children(0, len(body)) if part.name == b"meta"]
    return await read_items(boxes, metas[0])
