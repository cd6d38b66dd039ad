"""An original's bytes with patches laid over them, as they flow by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from kappi_mediameta.gps_free.edits import Patch
from kappi_mediameta.probing import RangedSource


async def patched(chunks: AsyncIterator[bytes], patches: Sequence[Patch]) -> AsyncIterator[bytes]:
    """chunks: the whole file, in order. patches: ordered by start; of overlapping ones zeros prevail."""
    position, first = 0, 0
    async for chunk in chunks:
        end = position + len(chunk)
        while first < len(patches) and patches[first].end <= position:
            first += 1
        yield _overlaid(chunk, position, patches, first) if _touches(patches, first, end) else chunk
        position = end


class PatchedSource:
    """An original in ranges, as its copy will be."""

    def __init__(self, original: RangedSource, patches: Sequence[Patch]) -> None:
        self._original = original
        self._patches = patches

    @property
    def size_bytes(self) -> int:
        return self._original.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        return _overlaid(await self._original.read(start, length), start, self._patches, 0)


def _touches(patches: Sequence[Patch], first: int, end: int) -> bool:
    return first < len(patches) and patches[first].start < end


def _overlaid(chunk: bytes, position: int, patches: Sequence[Patch], first: int) -> bytes:
    shown = bytearray(chunk)
    zeros: list[slice] = []
    for patch in patches[first:]:
        if patch.start >= position + len(chunk):
            break
        begin, end = max(patch.start, position), min(patch.end, position + len(chunk))
        if end <= begin:
            continue
        place = slice(begin - position, end - position)
        if patch.body is None:
            zeros.append(place)
        else:
            shown[place] = patch.body[begin - patch.start : end - patch.start]
    for place in zeros:
        shown[place] = bytes(place.stop - place.start)
    return bytes(shown)
