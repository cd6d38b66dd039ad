"""GPS out of a TIFF structure, a file or the EXIF block of another format (TIFF 6.0, EXIF 3.0, BigTIFF).

The entry that points to the GPS directory is taken out of its own, those behind it move up; the GPS directory
and its values become zeros. XMP and IPTC that a TIFF file carries are cleaned where they lie.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from kappi_media.location_free.edits import Outside, Region, Unremovable
from kappi_media.location_free.iptc import clean_iptc, clean_photoshop
from kappi_media.location_free.xmp import clean_xmp

_GPS: Final = 0x8825
_XMP: Final = 0x02BC
_IPTC: Final = 0x83BB
_PHOTOSHOP: Final = 0x8649
_DIRECTORIES: Final = frozenset({0x8769, 0xA005, 0x014A})
_TYPE_SIZES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_MAX_DIRECTORIES: Final = 200
_MAX_ENTRIES: Final = 4_096


@dataclass(frozen=True, slots=True)
class _Layout:
    """order: `<` or `>`. word: format of an offset, `I`, or `Q` in BigTIFF. count: of a directory's size."""

    order: str
    word: str
    count: str
    first_at: int

    @property
    def word_bytes(self) -> int:
        return struct.calcsize(self.word)

    @property
    def entry_bytes(self) -> int:
        return 4 + 2 * self.word_bytes

    @property
    def count_bytes(self) -> int:
        return struct.calcsize(self.count)

    def number(self, raw: bytes, fmt: str) -> int:
        return int(struct.unpack(self.order + fmt, raw)[0])


_LAYOUTS: Final = {
    b"II*\x00": _Layout("<", "I", "H", 4),
    b"MM\x00*": _Layout(">", "I", "H", 4),
    b"II+\x00": _Layout("<", "Q", "Q", 8),
    b"MM\x00+": _Layout(">", "Q", "Q", 8),
}


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
    if region.size_bytes < 8:
        return
    layout = _LAYOUTS.get(await region.read(0, 4))
    if layout is None:
        return
    await _Cleaner(region, layout).run()


class _Cleaner:
    def __init__(self, region: Region, layout: _Layout) -> None:
        self._region = region
        self._layout = layout
        self._seen: set[int] = set()

    async def run(self) -> None:
        waiting = [await self._word_at(self._layout.first_at)]
        while waiting:
            at = waiting.pop()
            if at == 0 or at in self._seen:
                continue
            self._seen.add(at)
            if len(self._seen) > _MAX_DIRECTORIES:
                raise Unremovable("too many directories")
            # A pointer into nowhere is common, and nobody finds a place behind it.
            with suppress(Outside):
                waiting += await self._directory(at)

    async def _directory(self, at: int) -> list[int]:
        """Clean one; where others are that it leads to."""
        table, following = await self._table(at)
        entries = list(self._entries(table))
        found: list[int] = []
        for entry in entries:
            if entry.tag in _DIRECTORIES:
                found += await self._offsets(entry)
            elif entry.tag in (_XMP, _IPTC, _PHOTOSHOP):
                await self._embedded(entry)
            elif entry.tag == _GPS:
                for gps_at in await self._offsets(entry):
                    with suppress(Outside):
                        await self._erase(gps_at)
        kept = [entry.raw for entry in entries if entry.tag != _GPS]
        if len(kept) < len(entries):
            layout = self._layout
            count = struct.pack(layout.order + layout.count, len(kept))
            packed = b"".join([count, *kept, following])
            await self._region.write(
                at, packed.ljust(layout.count_bytes + len(table) + len(following), b"\0")
            )
        found.append(self._layout.number(following, self._layout.word) if following else 0)
        return found

    async def _erase(self, at: int) -> None:
        """A GPS directory and all its values."""
        if at == 0:
            return
        table, following = await self._table(at)
        for entry in self._entries(table):
            if entry.size_bytes > self._layout.word_bytes:
                start = self._layout.number(entry.value, self._layout.word)
                length = min(entry.size_bytes, self._region.size_bytes - start)
                if length > 0:
                    await self._region.write(start, bytes(length))
        await self._region.write(at, bytes(self._layout.count_bytes + len(table) + len(following)))

    async def _embedded(self, entry: _Entry) -> None:
        if entry.size_bytes <= self._layout.word_bytes:
            return
        part = self._region.part(self._layout.number(entry.value, self._layout.word), entry.size_bytes)
        if entry.tag == _XMP:
            await clean_xmp(part)
        elif entry.tag == _IPTC:
            await clean_iptc(part)
        else:
            await clean_photoshop(part, clean_exif=clean_tiff)

    async def _table(self, at: int) -> tuple[bytes, bytes]:
        """The entries' bytes, and the offset behind them, which some writers leave out at the very end."""
        layout = self._layout
        count = layout.number(await self._region.read(at, layout.count_bytes), layout.count)
        if count > _MAX_ENTRIES:
            raise Unremovable("too many entries")
        start = at + layout.count_bytes
        # What is cut off is read as far as it goes, as others do.
        count = min(count, (self._region.size_bytes - start) // layout.entry_bytes)
        table = await self._region.read(start, count * layout.entry_bytes)
        left = self._region.size_bytes - start - len(table)
        width = layout.word_bytes if left >= layout.word_bytes else 0
        return table, await self._region.read(start + len(table), width)

    def _entries(self, table: bytes) -> Iterator[_Entry]:
        layout = self._layout
        for start in range(0, len(table), layout.entry_bytes):
            raw = table[start : start + layout.entry_bytes]
            tag, kind, count = struct.unpack_from(f"{layout.order}HH{layout.word}", raw)
            yield _Entry(raw, tag, kind, count, raw[4 + layout.word_bytes :])

    async def _offsets(self, entry: _Entry) -> list[int]:
        """Where the directories are that an entry points to: one, or a list elsewhere."""
        word = self._layout.word if _TYPE_SIZES.get(entry.kind) == 8 else "I"
        size = struct.calcsize(word)
        if entry.count == 1:
            return [self._layout.number(entry.value[:size], word)]
        if entry.count > _MAX_DIRECTORIES:
            raise Unremovable("too many directories")
        raw = entry.value[: size * entry.count]
        if size * entry.count > len(entry.value):
            start = self._layout.number(entry.value, self._layout.word)
            raw = await self._region.read(start, size * entry.count)
        return [self._layout.number(raw[at : at + size], word) for at in range(0, len(raw), size)]

    async def _word_at(self, at: int) -> int:
        return self._layout.number(await self._region.read(at, self._layout.word_bytes), self._layout.word)
