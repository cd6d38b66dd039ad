"""Reads the directories of a TIFF structure out of a file, each within the budget of its reader."""

from __future__ import annotations

from typing import Final

from kappi_mediameta.containers.tiff_directories import Field, Layout, read_directory
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader
from kappi_mediameta.probing.tiff_fields import MAX_FIELDS, READABLE, Tags, Value, integer, is_small, value_of

WIDTH, HEIGHT = 256, 257
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377
STRIPS: Final = (273, 279)
"""Tags of the offsets of strips, and of their sizes in bytes."""
TILES: Final = (324, 325)
MAX_DIRECTORIES: Final = 16
"""The limit of directories that are read beside the first."""
_MAX_METADATA_BYTES: Final = 1 << 20

FieldsByTag = dict[int, Field]


class TiffFile:
    """One file, or one block in it with a TIFF structure of its own."""

    def __init__(self, reader: BlockReader, layout: Layout) -> None:
        self.layout = layout
        self._reader = reader

    def holds(self, at: int) -> bool:
        """Returns whether a directory can be at a position."""
        return 8 <= at <= self._reader.size_bytes - self.layout.count_bytes

    async def directory(self, at: int | None) -> FieldsByTag | None:
        """Returns the fields by tag, the first of each, or None where there is no directory.

        Raises ProbeRejected `truncated` for one that reaches past the end.
        """
        if at is None or not self.holds(at):
            if at is not None and at > self._reader.size_bytes - self.layout.count_bytes:
                raise ProbeRejected(RejectReason.TRUNCATED, "directory past the end")
            return None
        found = await read_directory(self._reader, self.layout, at, most=MAX_FIELDS)
        if len(found.fields) < min(found.stated_count, MAX_FIELDS):
            raise ProbeRejected(RejectReason.TRUNCATED, "directory reaches past the end")
        by_tag: FieldsByTag = {}
        for field in found.fields:
            by_tag.setdefault(field.tag, field)
        return by_tag

    async def tags_at(self, at: int | None) -> Tags:
        """Returns the small values of the directory at a position; none where there is no directory."""
        return await self.values(await self.directory(at))

    async def following(self, at: int) -> int | None:
        """Returns the position of the directory after the one at a position, or None behind the last."""
        if not self.holds(at):
            return None
        found = await read_directory(self._reader, self.layout, at, most=MAX_FIELDS)
        return self.layout.integer(found.following) or None

    async def values(self, directory: FieldsByTag | None) -> Tags:
        values: dict[int, Value] = {}
        for tag, field in (directory or {}).items():
            if not is_small(field):
                continue
            raw = await self._raw(field)
            if raw is not None:
                values[tag] = value_of(field, raw, self.layout)
        return values

    async def block(self, field: Field | None) -> bytes:
        """Returns the value of a field of any type, or nothing where it is too long."""
        if field is None or field.kind not in READABLE or not 0 < field.size_bytes <= _MAX_METADATA_BYTES:
            return b""
        return await self._raw(field) or b""

    async def check_end(self, directory: FieldsByTag) -> None:
        """Raises `truncated` where the last strip or tile reaches past the end, `corrupt` without any."""
        for offsets_tag, counts_tag in (STRIPS, TILES):
            offsets, counts = directory.get(offsets_tag), directory.get(counts_tag)
            if offsets is None or counts is None:
                continue
            if await self._last(offsets) + await self._last(counts) > self._reader.size_bytes:
                raise ProbeRejected(RejectReason.TRUNCATED, "pixels missing")
            return
        raise ProbeRejected(RejectReason.CORRUPT, "no pixels")

    async def _raw(self, field: Field) -> bytes | None:
        if field.is_inline:
            return field.rest[: field.size_bytes]
        place = self.layout.integer(field.rest)
        if place + field.size_bytes > self._reader.size_bytes:
            return None
        return await self._reader.read(place, field.size_bytes)

    async def _last(self, field: Field) -> int:
        """Returns the last number of a field that may be long."""
        if field.kind not in READABLE or not field.size_bytes:
            raise ProbeRejected(RejectReason.CORRUPT, "impossible field")
        width = field.size_bytes // field.count
        if field.is_inline:
            return self.layout.integer(field.rest[field.size_bytes - width : field.size_bytes])
        at = self.layout.integer(field.rest) + field.size_bytes - width
        return self.layout.integer(await self._reader.read(at, width))


def area(tags: Tags) -> int:
    """Returns width by height of the picture of a directory, 0 where it has none."""
    return (integer(tags, WIDTH) or 0) * (integer(tags, HEIGHT) or 0)
