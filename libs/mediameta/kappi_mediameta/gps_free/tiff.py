"""Location removal for TIFF: fields of the picture and its strips or tiles stay, all else becomes zeros
(TIFF 6.0, BigTIFF).

A field that goes is removed from its directory, and the fields behind it move up.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from typing import Final

from kappi_mediameta.containers.tiff_directories import TYPE_SIZES, Field, Layout, layout_of, read_directory
from kappi_mediameta.gps_free.edits import Outside, Region, Unremovable

# Size, samples, compression, colour, layout, resolution; JPEG tables old and new; ICC.
_OF_PICTURE: Final = frozenset(
    {*range(254, 260), *range(262, 267), 273, 274, *range(277, 285), 286, 287, *range(290, 294), 296, 297}
    | {301, *range(317, 326), 330, 332, 334, 336, *range(338, 343), 347, *range(512, 522)}
    | {*range(529, 533), 32995, 32996, 32997, 34675}
)
_SUB_DIRECTORIES: Final = 330
# Offsets of data, with the tag of their lengths.
_DATA: Final = {273: 279, 324: 325, 513: 514}
_NUMBER_OF_PICTURES: Final = 0xB001
_OF_PICTURE_INDEX: Final = frozenset({0xB000, _NUMBER_OF_PICTURES, 0xB002})
_MAX_PIECES: Final = 500_000
_MAX_DIRECTORIES: Final = 200
_MAX_FIELDS: Final = 4_096


async def clean_tiff(region: Region) -> None:
    """Raises Unremovable for a structure that cannot be followed."""
    await _clean(region, _OF_PICTURE)


async def keeps_picture_index(region: Region) -> bool:
    """Cleans the list of pictures in a JPEG (CIPA DC-007). Returns False for a list without their number."""
    return _NUMBER_OF_PICTURES in await _clean(region, _OF_PICTURE_INDEX)


async def _clean(region: Region, kept_tags: frozenset[int]) -> set[int]:
    """Returns the tags that stay."""
    layout = layout_of(await region.read(0, 4)) if region.size_bytes >= 8 else None
    if layout is None:
        await region.erase(0, region.size_bytes)
        return set()
    return await _Cleaner(region, layout, kept_tags).run()


class _Cleaner:
    def __init__(self, region: Region, layout: Layout, kept_tags: frozenset[int]) -> None:
        self._region = region
        self._layout = layout
        self._kept_tags = kept_tags
        self._first_at = 8 if layout.big else 4
        self._kept = [(0, self._first_at + layout.offset_bytes)]
        self._seen: set[int] = set()
        self._found: set[int] = set()

    async def run(self) -> set[int]:
        waiting = [await self._word_at(self._first_at)]
        while waiting:
            at = waiting.pop()
            if at == 0 or at in self._seen:
                continue
            self._seen.add(at)
            if len(self._seen) > _MAX_DIRECTORIES:
                raise Unremovable("too many directories")
            # A pointer outside of the file is common, and leads to no directory.
            with suppress(Outside):
                waiting += await self._directory(at)
        if len(self._kept) > _MAX_PIECES:
            raise Unremovable("too many strips or tiles")
        await self._region.keep_only(self._kept)
        return self._found

    async def _directory(self, at: int) -> list[int]:
        """Takes out the fields that go. Returns the positions of the directories that this one leads to."""
        layout = self._layout
        found = await read_directory(self._region, layout, at, most=_MAX_FIELDS)
        if found.stated_count > _MAX_FIELDS:
            raise Unremovable("too many fields")
        kept = [field for field in found.fields if field.tag in self._kept_tags and field.kind in TYPE_SIZES]
        count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(kept))
        table = [struct.pack(layout.field_form, *astuple(field)) for field in kept]
        packed = b"".join([count, *table, found.following])
        gone = (len(found.fields) - len(kept)) * layout.field_bytes
        await self._region.write(at, packed + bytes(gone))
        self._kept.append((at, len(packed)))
        by_tag = {field.tag: field for field in kept}
        self._found |= by_tag.keys()
        for field in kept:
            if not field.is_inline:
                self._kept.append((layout.integer(field.rest), field.size_bytes))
        for tag, length_tag in _DATA.items():
            if tag in by_tag and length_tag in by_tag:
                starts, lengths = await self._numbers(by_tag[tag]), await self._numbers(by_tag[length_tag])
                self._kept += zip(starts, lengths, strict=False)
        following = [layout.integer(found.following)]
        if _SUB_DIRECTORIES in by_tag:
            following += await self._numbers(by_tag[_SUB_DIRECTORIES])
        return following

    async def _numbers(self, field: Field) -> Sequence[int]:
        """Returns the whole numbers of a field: offsets or lengths."""
        if field.count > _MAX_PIECES:
            raise Unremovable("too many strips or tiles")
        raw = field.rest[: field.size_bytes]
        if not field.is_inline:
            raw = await self._region.read(self._layout.integer(field.rest), field.size_bytes)
        letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[TYPE_SIZES[field.kind]]
        return struct.unpack(f"{self._layout.order}{field.count}{letter}", raw)

    async def _word_at(self, at: int) -> int:
        return self._layout.integer(await self._region.read(at, self._layout.offset_bytes))
