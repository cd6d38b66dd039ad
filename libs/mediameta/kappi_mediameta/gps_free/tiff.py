"""A TIFF without what no decoder needs: fields of the picture and its strips or tiles stay, nothing is left
of all else (TIFF 6.0, BigTIFF).

An entry that goes is taken out of its directory, those behind it move up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.gps_free.edits import Outside, Region, Unremovable
from kappi_mediameta.probing.tiff_fields import Layout, layout_of

# Size, samples, compression, colour, layout, resolution; JPEG tables old and new; ICC.
_OF_PICTURE: Final = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284}
    | {
        286,
        287,
        290,
        291,
        292,
        293,
        296,
        297,
        301,
        317,
        318,
        319,
        320,
        321,
        322,
        323,
        324,
        325,
        330,
        332,
        334,
    }
    | {336, 338, 339, 340, 341, 342, 347, *range(512, 522), 529, 530, 531, 532, 32995, 32996, 32997, 34675}
)
_SUB_DIRECTORIES: Final = 330
# Offsets of data, with the tag of their lengths.
_DATA: Final = {273: 279, 324: 325, 513: 514}
_NUMBER_OF_PICTURES: Final = 0xB001
_OF_PICTURE_INDEX: Final = frozenset({0xB000, _NUMBER_OF_PICTURES, 0xB002})
_MAX_PIECES: Final = 500_000
_TYPE_SIZES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_MAX_DIRECTORIES: Final = 200
_MAX_ENTRIES: Final = 4_096


@dataclass(frozen=True, slots=True)
class _Entry:
    raw: bytes
    tag: int
    kind: int
    count: int
    value: bytes

    @property
    def size_bytes(self) -> int:
        return _TYPE_SIZES.get(self.kind, 1) * self.count


async def clean_tiff(region: Region) -> None:
    """Raises Unremovable for a structure that cannot be followed."""
    await _clean(region, _OF_PICTURE)


async def keeps_picture_index(region: Region) -> bool:
    """Clean the list of pictures in a JPEG (CIPA DC-007). False for one without their number."""
    return _NUMBER_OF_PICTURES in await _clean(region, _OF_PICTURE_INDEX)


async def _clean(region: Region, kept_tags: frozenset[int]) -> set[int]:
    """The tags that stay."""
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
            # A pointer into nowhere is common, and nothing is behind it.
            with suppress(Outside):
                waiting += await self._directory(at)
        if len(self._kept) > _MAX_PIECES:
            raise Unremovable("too many strips or tiles")
        await self._region.keep_only(self._kept)
        return self._found

    async def _directory(self, at: int) -> list[int]:
        """Take out what goes; where others are that it leads to."""
        table, following = await self._table(at)
        layout = self._layout
        entries = [entry for entry in self._entries(table) if entry.tag in self._kept_tags]
        packed = b"".join(
            [
                struct.pack(layout.order + ("Q" if layout.big else "H"), len(entries)),
                *(each.raw for each in entries),
                following,
            ]
        )
        await self._region.write(at, packed.ljust(layout.count_bytes + len(table) + len(following), b"\0"))
        self._kept.append((at, len(packed)))
        by_tag = {entry.tag: entry for entry in entries}
        self._found |= by_tag.keys()
        for entry in entries:
            if entry.size_bytes > layout.offset_bytes:
                self._kept.append((layout.integer(entry.value), entry.size_bytes))
        for tag, length_tag in _DATA.items():
            if tag in by_tag and length_tag in by_tag:
                starts, lengths = await self._numbers(by_tag[tag]), await self._numbers(by_tag[length_tag])
                self._kept += zip(starts, lengths, strict=False)
        found = [layout.integer(following) if following else 0]
        if _SUB_DIRECTORIES in by_tag:
            found += await self._numbers(by_tag[_SUB_DIRECTORIES])
        return found

    async def _table(self, at: int) -> tuple[bytes, bytes]:
        """The entries' bytes, and the offset behind them, which some writers leave out at the very end."""
        layout = self._layout
        count = layout.integer(await self._region.read(at, layout.count_bytes))
        if count > _MAX_ENTRIES:
            raise Unremovable("too many entries")
        start = at + layout.count_bytes
        # What is cut off is read as far as it goes, as others do.
        count = min(count, (self._region.size_bytes - start) // layout.field_bytes)
        table = await self._region.read(start, count * layout.field_bytes)
        left = self._region.size_bytes - start - len(table)
        width = layout.offset_bytes if left >= layout.offset_bytes else 0
        return table, await self._region.read(start + len(table), width)

    def _entries(self, table: bytes) -> Iterator[_Entry]:
        layout = self._layout
        for start in range(0, len(table), layout.field_bytes):
            raw = table[start : start + layout.field_bytes]
            tag, kind, count = struct.unpack_from(f"{layout.order}HH{'Q' if layout.big else 'I'}", raw)
            yield _Entry(raw, tag, kind, count, raw[4 + layout.offset_bytes :])

    async def _numbers(self, entry: _Entry) -> Sequence[int]:
        """The whole numbers of an entry: offsets or lengths."""
        size = _TYPE_SIZES.get(entry.kind, 1)
        if entry.count > _MAX_PIECES:
            raise Unremovable("too many strips or tiles")
        raw = entry.value[: entry.size_bytes]
        if entry.size_bytes > self._layout.offset_bytes:
            start = self._layout.integer(entry.value)
            raw = await self._region.read(start, entry.size_bytes)
        letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        return struct.unpack(f"{self._layout.order}{entry.count}{letter}", raw)

    async def _word_at(self, at: int) -> int:
        return self._layout.integer(await self._region.read(at, self._layout.offset_bytes))
