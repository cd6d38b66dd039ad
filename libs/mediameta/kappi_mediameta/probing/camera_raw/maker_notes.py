"""What is only in a maker's own structures: previews of ORF, sizes of ORF and IIQ.

Sources: the tags of Olympus and Phase One that ExifTool lists.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kappi_mediameta.containers.tiff_directories import Layout
from kappi_mediameta.probing.camera_raw.picture import Preview
from kappi_mediameta.probing.formats import MediaFormat
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import MAKER_NOTE, integer
from kappi_mediameta.probing.tiff_file import FieldsByTag, TiffFile

_CAMERA_SETTINGS, _IMAGE_PROCESSING = 0x2020, 0x2040
_PREVIEW_AT, _PREVIEW_BYTES = 0x0101, 0x0102
_CROP_SIZE: Final = (0x0614, 0x0615)
_NOTES: Final = {  # start of the note: where its directory begins, and whether its offsets count from it
    b"OLYMPUS\x00": (12, True),
    b"OM SYSTEM\x00": (16, True),
    b"OLYMP\x00": (8, False),
}
_PHASE_ONE_AT: Final = 8
_PHASE_ONE_SIZE: Final = (0x010C, 0x010D)
_MAX_ENTRIES: Final = 256


class MakerFacts(NamedTuple):
    """size: of the picture as stored."""

    previews: tuple[Preview, ...] = ()
    size: tuple[int, int] | None = None


async def maker_facts(reader: BlockReader, layout: Layout, fmt: MediaFormat, exif: FieldsByTag) -> MakerFacts:
    """Returns what the structures of a maker say. layout: of the file. exif: the fields of its EXIF."""
    if fmt is MediaFormat.ORF:
        return await _olympus_facts(reader, layout, exif)
    if fmt is MediaFormat.IIQ:
        return MakerFacts(size=await _phase_one_size(reader))
    return MakerFacts()


async def _olympus_facts(reader: BlockReader, layout: Layout, exif: FieldsByTag) -> MakerFacts:
    note = exif.get(MAKER_NOTE)
    if note is None or note.is_inline:
        return MakerFacts()
    at = layout.integer(note.rest)
    start = await reader.read_upto(at, 16) if at < reader.size_bytes else b""
    form = next((form for mark, form in _NOTES.items() if start.startswith(mark)), None)
    if form is None:
        return MakerFacts()
    skipped, counts_from_note = form
    base = at if counts_from_note else 0
    file = TiffFile(reader.part(base, reader.size_bytes - base), layout)
    tags = await file.tags_at(at - base + skipped)
    settings = await file.tags_at(integer(tags, _CAMERA_SETTINGS))
    processing = await file.tags_at(integer(tags, _IMAGE_PROCESSING))
    preview_at, length = integer(settings, _PREVIEW_AT), integer(settings, _PREVIEW_BYTES)
    width, height = (integer(processing, tag) for tag in _CROP_SIZE)
    return MakerFacts(
        (Preview(base + preview_at, length),) if preview_at and length else (),
        (width, height) if width and height else None,
    )


async def _phase_one_size(reader: BlockReader) -> tuple[int, int] | None:
    """Returns the size of the picture in the block of its own that follows the TIFF header of an IIQ."""
    head = await reader.read_upto(_PHASE_ONE_AT, 12)
    order = "<" if head.startswith(b"II") else ">"
    if len(head) < 12:
        return None
    at = _PHASE_ONE_AT + struct.unpack_from(order + "I", head, 8)[0]
    if at + 8 > reader.size_bytes:
        return None
    count = min(_MAX_ENTRIES, struct.unpack(order + "I", await reader.read(at, 4))[0])
    entries = await reader.read_upto(at + 8, 16 * count)
    values = {
        tag: value
        for tag, _, _, value in struct.iter_unpack(order + "4I", entries[: len(entries) // 16 * 16])
    }
    width, height = (values.get(tag, 0) for tag in _PHASE_ONE_SIZE)
    return (width, height) if width and height else None
