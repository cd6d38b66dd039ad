"""The items of a HEIF file: the picture, its parts, and where their bytes lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.containers import heif_tables
from kappi_mediameta.containers.iso_boxes import Box, boxes_of
from kappi_mediameta.probing.boxes import BoxReader
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

_MAX_TABLE_BYTES: Final = 512 << 10
_MAX_ITEMS: Final = 8_192
XMP_KIND: Final = b"mime XMP"
"""The kind of a `mime` item whose content type is XMP's."""
_MAX_SHARED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of bytes of the file."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class PictureItems:
    """Kinds, places, parts (of a grid: its tiles) and properties in the order they apply, by item id.

    primary: the item that is shown; where the file names a thumbnail or a gain map, its picture. named:
    position of the name in the file. exif, xmp: the items of its metadata. auxiliaries: its opacity, depth
    and gains. premultiplied: by its opacity. described: what each item of metadata is about.
    """

    primary: int | None
    named: Extent | None
    exif: int | None
    xmp: int | None
    auxiliaries: tuple[int, ...]
    premultiplied: bool
    kinds: Mapping[int, bytes]
    places: Mapping[int, tuple[Extent, ...]]
    parts: Mapping[int, tuple[int, ...]]
    properties: Mapping[int, tuple[Box, ...]]
    described: Mapping[int, tuple[int, ...]]


async def read_items(boxes: BoxReader, meta: Box) -> PictureItems:
    """Returns the items of a `meta` box. Raises ProbeRejected."""
    found = {box.name: box async for box in boxes.children(meta.start + 4, meta.end)}
    if b"hdlr" not in found or (await boxes.fields(found[b"hdlr"], 12))[8:12] != b"pict":
        raise ProbeRejected(RejectReason.NO_PICTURE, "items are no pictures")
    tables = {
        name: await boxes.body(found[name], at_most=_MAX_TABLE_BYTES)
        for name in (b"pitm", b"iinf", b"iref", b"iloc")
        if name in found
    }
    try:
        kinds = _kinds(tables.get(b"iinf", b""))
        references = list(_references(tables.get(b"iref", b"")))
        masters = {
            owner: about[0]
            for kind, owner, about in references
            if about and (kind == b"thmb" or (kind == b"dimg" and kinds.get(owner) == b"tmap"))
        }
        primary = _primary(tables.get(b"pitm", b""))
        while primary in masters:
            primary = masters.pop(primary)
        places = _places(tables.get(b"iloc", b""), found.get(b"idat"))
    except heif_tables.CutShort as short:
        raise ProbeRejected(RejectReason.CORRUPT, "item tables end too early") from short
    except heif_tables.TooMany as many:
        raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many items or extents") from many
    _check_overlaps(places, size_bytes=boxes.size_bytes)
    return PictureItems(
        primary=primary,
        named=_named(found.get(b"pitm"), tables.get(b"pitm", b"")),
        exif=_item_about(b"Exif", kinds, references, primary),
        xmp=_item_about(XMP_KIND, kinds, references, primary),
        auxiliaries=tuple(owner for kind, owner, about in references if kind == b"auxl" and primary in about),
        premultiplied=any(kind == b"prem" and owner == primary for kind, owner, _ in references),
        kinds=kinds,
        places=places,
        parts={owner: parts for kind, owner, parts in references if kind == b"dimg"},
        properties=await _properties(boxes, found.get(b"iprp")),
        described={owner: about for kind, owner, about in references if kind == b"cdsc"},
    )


def _check_overlaps(places: Mapping[int, tuple[Extent, ...]], *, size_bytes: int) -> None:
    """Raises ProbeRejected for items that share too many bytes: decoders read every item, so a small file
    would become large. In pictures of layers a few items share bytes: each layer holds those below it."""
    total = sum(
        extent.length for extents in places.values() for extent in extents if extent.end <= size_bytes
    )
    if total > max(2 * size_bytes, min(8 * size_bytes, _MAX_SHARED_BYTES)):
        raise ProbeRejected(RejectReason.TOO_COMPLEX, "items share their bytes")


def _primary(body: bytes) -> int | None:
    if not body:
        return None
    return heif_tables.Cursor(body, 4).number(4 if body[0] else 2)


def _named(pitm: Box | None, body: bytes) -> Extent | None:
    return Extent(pitm.start + 4, 4 if body[0] else 2) if pitm is not None and body else None


def _kinds(body: bytes) -> dict[int, bytes]:
    if not body:
        return {}
    cursor = heif_tables.Cursor(body, 4)
    cursor.count(4 if body[0] else 2, most=_MAX_ITEMS)
    kinds: dict[int, bytes] = {}
    for name, infe in boxes_of(body, cursor.at):
        entry = heif_tables.item_entry(infe) if name == b"infe" else None
        if entry is None:
            continue
        if entry.is_packed:  # decoders unpack such items, whatever their size becomes
            raise ProbeRejected(RejectReason.TOO_COMPLEX, "packed metadata")
        kinds.setdefault(entry.item_id, XMP_KIND if entry.is_xmp else entry.kind)
    return kinds


def _references(body: bytes) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    """Yields kind, owner and what it points at, for each entry of `iref`."""
    if not body:
        return
    width = 4 if body[0] else 2
    for name, entry in boxes_of(body, 4):
        if not entry:
            return
        cursor = heif_tables.Cursor(entry)
        owner, count = cursor.number(width), cursor.count(2, most=_MAX_ITEMS)
        yield name, owner, tuple(cursor.number(width) for _ in range(count))


def _places(body: bytes, item_data: Box | None) -> dict[int, tuple[Extent, ...]]:
    starts = {heif_tables.IN_FILE: 0}
    if item_data is not None:
        starts[heif_tables.IN_IDAT] = item_data.start
    listed = heif_tables.item_locations(body, most_items=_MAX_ITEMS, most_extents=_MAX_ITEMS) if body else ()
    return {
        item.item_id: tuple(Extent(starts[item.method] + at, length) for at, length in item.extents)
        for item in listed
        if item.in_this_file and item.method in starts
    }


def _item_about(
    kind: bytes,
    kinds: Mapping[int, bytes],
    references: list[tuple[bytes, int, tuple[int, ...]]],
    primary: int | None,
) -> int | None:
    """Returns the item of a kind that describes the primary picture, else the first item of that kind."""
    blocks = [item_id for item_id, found in kinds.items() if found == kind]
    of_primary = {owner for name, owner, about in references if name == b"cdsc" and primary in about}
    return next((item_id for item_id in blocks if item_id in of_primary), blocks[0] if blocks else None)


async def _properties(boxes: BoxReader, iprp: Box | None) -> dict[int, tuple[Box, ...]]:
    if iprp is None:
        return {}
    kept: list[Box] = []
    associations: dict[int, tuple[int, ...]] = {}
    async for box in boxes.children(iprp.start, iprp.end):
        if box.name == b"ipco":
            kept = [box async for box in boxes.children(box.start, box.end)]
        elif box.name == b"ipma":
            body = await boxes.body(box, at_most=_MAX_TABLE_BYTES)
            try:
                associations |= _associations(body)
            except heif_tables.CutShort as short:
                raise ProbeRejected(RejectReason.CORRUPT, "property table ends too early") from short
            except heif_tables.TooMany as many:
                raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many properties") from many
    return {
        item_id: tuple(kept[index - 1] for index in indices if 1 <= index <= len(kept))
        for item_id, indices in associations.items()
    }


def _associations(body: bytes) -> dict[int, tuple[int, ...]]:
    cursor = heif_tables.Cursor(body)
    version, flags = cursor.number(1), cursor.number(3)
    wide = flags & 1
    associations: dict[int, tuple[int, ...]] = {}
    for _ in range(cursor.count(4, most=_MAX_ITEMS)):
        item_id = cursor.number(4 if version else 2)
        count = cursor.number(1)
        # The top bit means that a reader must understand the property.
        indices = (cursor.number(2) & 0x7FFF if wide else cursor.number(1) & 0x7F for _ in range(count))
        associations[item_id] = tuple(indices)
    return associations
