"""Edits of a file as patches, which change no length. The file itself is only read.

No byte moves, so every offset inside a file stays right (sample tables, item locations, directories). A copy
of any size is made in one pass: the original is streamed, with the patches over it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kappi_mediameta.probing import RangedSource
from kappi_mediameta.probing.source import BlockReader

MAX_PATCHED_BYTES: Final = 16 << 20
MAX_PATCHES: Final = 20_000
MAX_READS: Final = 4_096
MAX_READ_BYTES: Final = 256 << 20
MAX_VALUE_BYTES: Final = 8 << 20
SCAN_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 64 << 10


class Unremovable(Exception):
    """The place cannot be removed from this file, or it is unknown whether the file has one."""


class Outside(Unremovable):
    """An offset points outside of its file or of its part of a file."""


class Damaged(Unremovable):
    """A structure contradicts itself."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Overwrites `length` bytes at `start` with `body`, or with zeros where `body` is None."""

    start: int
    length: int
    body: bytes | None

    @property
    def end(self) -> int:
        return self.start + self.length


class EditedFile:
    """A file with edits. Reads return edited bytes, so a checksum over them is right."""

    def __init__(self, source: RangedSource) -> None:
        self._source = source
        self._reader = BlockReader(source, max_reads=MAX_READS, max_read_bytes=MAX_READ_BYTES)
        self._patches: list[Patch] = []
        self._zeros: list[Patch] = []
        self._patched_bytes = 0
        self.size_bytes = source.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        """Returns exactly these bytes. Raises Unremovable where they are missing or too many."""
        if length > MAX_VALUE_BYTES or length < 0:
            raise Unremovable("too much in one piece")
        return self._overlaid(start, await self._reader.read(start, length))

    async def scan(self, start: int) -> bytes:
        """Returns up to a megabyte from `start`, past all caches, for one pass over a file."""
        return await self._source.read(start, min(SCAN_BYTES, self.size_bytes - start))

    async def write(self, start: int, body: bytes) -> None:
        """Notes bytes to write. Bytes that are there already need no patch."""
        if await self.read(start, len(body)) == body:
            return
        self._patched_bytes += len(body)
        if self._patched_bytes > MAX_PATCHED_BYTES or len(self._patches) >= MAX_PATCHES:
            raise Unremovable("too much to overwrite")
        self._patches = _with(self._patches, Patch(start, len(body), body))

    def zero(self, start: int, length: int) -> None:
        """Notes zeros of any length."""
        if start < 0 or length < 0 or start + length > self.size_bytes:
            raise Outside("points outside the file")
        if len(self._zeros) >= MAX_PATCHES:
            raise Unremovable("too much to overwrite")
        if length:
            self._zeros.append(Patch(start, length, None))

    async def erase(self, start: int, length: int) -> None:
        """Notes zeros, but no patch where there are zeros already: a copy needs no further patches."""
        if start < 0 or length < 0 or start + length > self.size_bytes:
            raise Outside("points outside the file")
        position, end = start, start + length
        while position < end:
            size = min(SCAN_BYTES, end - position)
            # A short range lies near bytes that were read before. A long one is read once, past all caches.
            read = self._reader.read if length <= _SMALL_BYTES else self._source.read
            piece = await read(position, size)
            if piece.count(0) < size:
                self.zero(position, size)
            position += size

    def patches(self) -> tuple[Patch, ...]:
        """Returns the patches ordered by start. Zeros may overlap written bytes, and prevail."""
        # A file may name the same bytes often, and each patch costs time when a copy is made.
        apart = merged((zero.start, zero.end) for zero in self._zeros)
        zeros = [Patch(start, end - start, None) for start, end in apart]
        return tuple(sorted([*self._patches, *zeros], key=lambda patch: (patch.start, patch.body is None)))

    def _overlaid(self, start: int, body: bytes) -> bytes:
        end = start + len(body)
        touching = [p for p in (*self._patches, *self._zeros) if p.start < end and start < p.end]
        return overlaid(body, start, touching) if touching else body


def overlaid(body: bytes, start: int, patches: Iterable[Patch]) -> bytes:
    """Returns the bytes with patches over them. start: of the bytes in the file. Zeros prevail."""
    shown = bytearray(body)
    zeros = []
    for patch in patches:
        first, last = max(patch.start, start), min(patch.end, start + len(body))
        if last <= first:
            continue
        place = slice(first - start, last - start)
        if patch.body is None:
            zeros.append(place)
        else:
            shown[place] = patch.body[first - patch.start : last - patch.start]
    for place in zeros:
        shown[place] = bytes(place.stop - place.start)
    return bytes(shown)


class Region:
    """Part of a file as one range of bytes, perhaps of several pieces. extents: (start, length) of each."""

    def __init__(self, file: EditedFile, extents: Sequence[tuple[int, int]]) -> None:
        self.file = file
        self._extents = tuple(extents)
        self.size_bytes = sum(length for _, length in self._extents)

    @classmethod
    def whole(cls, file: EditedFile) -> Region:
        return cls(file, [(0, file.size_bytes)])

    async def read(self, start: int, length: int) -> bytes:
        """Returns exactly these bytes. Raises Unremovable."""
        return b"".join([await self.file.read(at, size) for at, size in self._pieces(start, length)])

    async def read_all(self) -> bytes:
        return await self.read(0, self.size_bytes)

    async def write(self, start: int, body: bytes) -> None:
        done = 0
        for at, size in self._pieces(start, len(body)):
            await self.file.write(at, body[done : done + size])
            done += size

    async def scan(self, start: int) -> bytes:
        """Returns up to a megabyte from `start` on. The region must be in one piece."""
        piece = await self.file.scan((self._extents[0][0] if self._extents else 0) + start)
        return piece[: self.size_bytes - start]

    def damaged(self, detail: str) -> Damaged:
        return Damaged(detail)

    def too_many(self, parts: str) -> Unremovable:
        return Unremovable(f"too many {parts}")

    def part(self, start: int, length: int) -> Region:
        """Returns a part of this part. Raises Outside where it is not within."""
        return Region(self.file, self._pieces(start, length))

    def zero(self, start: int, length: int) -> None:
        for at, size in self._pieces(start, length):
            self.file.zero(at, size)

    async def erase(self, start: int, length: int) -> None:
        """Notes zeros, unless there are zeros already."""
        for at, size in self._pieces(start, length):
            await self.file.erase(at, size)

    async def keep_only(self, kept: Sequence[tuple[int, int]]) -> None:
        """Erases all but these ranges, (start, length) each, which may overlap and reach beyond the end."""
        position = 0
        for start, length in sorted(kept):
            if start > position:
                await self.erase(position, min(start, self.size_bytes) - position)
            position = max(position, min(start + length, self.size_bytes))
        await self.erase(position, self.size_bytes - position)

    def joined(self, other: Region) -> Region:
        return Region(self.file, (*self._extents, *other._extents))

    def _pieces(self, start: int, length: int) -> list[tuple[int, int]]:
        if start < 0 or length < 0 or start + length > self.size_bytes:
            raise Outside("points outside of what holds it")
        pieces = []
        for at, size in self._extents:
            if start < size and length:
                taken = min(size - start, length)
                pieces.append((at + start, taken))
                start, length = 0, length - taken
            else:
                start -= size
        return pieces


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns ranges, (start, end) each, in order and without overlaps."""
    apart: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _with(patches: list[Patch], new: Patch) -> list[Patch]:
    """Returns the patches sorted and apart from each other, with the new one on top."""
    first = bisect_left(patches, new.start, key=lambda patch: patch.end)
    last = bisect_left(patches, new.end + 1, key=lambda patch: patch.start)
    touched = [*patches[first:last], new]
    begin, end = min(patch.start for patch in touched), max(patch.end for patch in touched)
    body = overlaid(bytes(end - begin), begin, touched)
    return [*patches[:first], Patch(begin, end - begin, body), *patches[last:]]
