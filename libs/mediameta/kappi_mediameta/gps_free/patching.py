"""Applies patches to the bytes of an original, as a stream or as a source."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence

from kappi_mediameta.gps_free.edits import Patch, overlaid
from kappi_mediameta.probing import RangedSource


async def patched(chunks: AsyncIterator[bytes], patches: Sequence[Patch]) -> AsyncIterator[bytes]:
    """Yields the chunks with patches over them.

    chunks: the whole file, in order. patches: ordered by start. Zeros prevail where patches overlap.
    """
    position, first = 0, 0
    async for chunk in chunks:
        end = position + len(chunk)
        while first < len(patches) and patches[first].end <= position:
            first += 1
        last = bisect_left(patches, end, lo=first, key=lambda patch: patch.start)
        yield overlaid(chunk, position, patches[first:last]) if last > first else chunk
        position = end


class PatchedSource:
    """Ranges of the copy, by the original and its patches."""

    def __init__(self, original: RangedSource, patches: Sequence[Patch]) -> None:
        self._original = original
        self._patches = patches

    @property
    def size_bytes(self) -> int:
        return self._original.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        return overlaid(await self._original.read(start, length), start, self._patches)
