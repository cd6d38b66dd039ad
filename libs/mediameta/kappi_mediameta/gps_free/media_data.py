"""The bytes of media data that a copy keeps: samples of kept tracks, and items (ISO/IEC 14496-12, 8.7, 8.8).

All other bytes become zeros: samples of other tracks, and blocks that no table lists, where cameras write
places.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from kappi_mediameta.containers.iso_boxes import Box
from kappi_mediameta.gps_free.box_walk import boxes_in, children, descend
from kappi_mediameta.gps_free.edits import MAX_VALUE_BYTES, Region, Unremovable, merged
from kappi_mediameta.gps_free.sample_descriptions import frame_bytes
from kappi_mediameta.gps_free.tracks import handler_of, is_kept

_MAX_SAMPLES: Final = 8_000_000
_MAX_RANGES: Final = 400_000
# The first gaps are read, and get no patch where they are empty. Further gaps are zeroed without a read.
_MAX_GAPS_READ: Final = 64
_BASE_OFFSET, _DESCRIPTION, _DURATION, _SIZE, _BASE_IS_MOOF = 0x1, 0x2, 0x8, 0x10, 0x20000
_RUN_OFFSET, _FIRST_FLAGS, _RUN_SIZES = 0x1, 0x4, 0x200
_RUN_FIELDS: Final = (0x100, 0x200, 0x400, 0x800)


class MediaData:
    """Ranges of a file to keep, collected from its tables."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._ranges: list[tuple[int, int]] = []
        self._default_sizes: dict[int, int] = {}
        self._kept_tracks: set[int] = set()

    def keep(self, start: int, length: int) -> None:
        if not length:
            return
        if self._ranges and self._ranges[-1][1] == start:
            self._ranges[-1] = (self._ranges[-1][0], start + length)
            return
        if len(self._ranges) >= _MAX_RANGES:
            raise Unremovable("media data in too many pieces")
        self._ranges.append((start, start + length))

    async def keep_movie(self, moov: Box) -> None:
        """Keeps samples that the index lists. Raises Unremovable for tables that cannot be followed."""
        async for box in children(self._region, moov.start, moov.end):
            if box.name == b"mvex":
                await self._read_defaults(box)
            elif box.name == b"trak" and await is_kept(self._region, box):
                await self._keep_track(box)

    async def keep_fragment(self, moof: Box) -> None:
        """Keeps samples that a fragment lists, of tracks that `keep_movie` has seen."""
        end = moof.begin
        async for traf in children(self._region, moof.start, moof.end):
            if traf.name == b"traf":
                end = await self._keep_runs(moof, traf, end)

    async def erase_others(self, media: Iterable[Box]) -> None:
        """Erases what is not kept of these boxes."""
        kept = merged(self._ranges)
        left = _MAX_GAPS_READ
        for box in media:
            for start, end in _gaps(kept, box):
                if left > 0:
                    await self._region.erase(start, end - start)
                else:
                    self._region.zero(start, end - start)
                left -= 1

    async def _read_defaults(self, mvex: Box) -> None:
        async for box in children(self._region, mvex.start, mvex.end):
            if box.name == b"trex" and box.size_bytes >= 24:
                track, _, _, size = struct.unpack(">IIII", await self._region.read(box.start + 4, 16))
                self._default_sizes[track] = size

    async def _keep_track(self, trak: Box) -> None:
        self._kept_tracks.add(await _track_id(self._region, trak))
        table = await descend(self._region, trak, b"mdia", b"minf", b"stbl")
        if table is None:
            return
        boxes = await boxes_in(self._region, table)
        chunks, runs = await self._chunks(boxes), await self._runs(boxes.get(b"stsc"))
        if not chunks:
            return
        if not runs or runs[0][0] != 1:
            raise Unremovable("samples without a place in the file")
        uniform, sizes = await self._sizes(boxes)
        if uniform and await handler_of(self._region, trak) == b"soun":
            uniform = max(uniform, await frame_bytes(self._region, boxes.get(b"stsd")))
        position = 0
        for (first, per_chunk), (following, _) in pairwise([*runs, (len(chunks) + 1, 0)]):
            for chunk in chunks[first - 1 : following - 1]:
                self.keep(chunk, uniform * per_chunk or sum(sizes[position : position + per_chunk]))
                position += per_chunk

    async def _sizes(self, boxes: Mapping[bytes, Box]) -> tuple[int, Sequence[int]]:
        """Returns the size of all samples, or 0 and the size of each."""
        if b"stsz" in boxes:
            box = boxes[b"stsz"]
            uniform = int.from_bytes(await self._field(box, 4, 4), "big")
            return uniform, [] if uniform else await self._numbers(box, at=12, code="I", count_at=8)
        if b"stz2" not in boxes:
            raise Unremovable("samples of unknown size")
        width = (await self._field(boxes[b"stz2"], 7, 1))[0]
        if width not in (8, 16):
            raise Unremovable("samples of a size that is not read")
        code = "B" if width == 8 else "H"
        return 0, await self._numbers(boxes[b"stz2"], at=12, code=code, count_at=8)

    async def _chunks(self, boxes: Mapping[bytes, Box]) -> Sequence[int]:
        box, code = (boxes[b"co64"], "Q") if b"co64" in boxes else (boxes.get(b"stco"), "I")
        if box is None:
            raise Unremovable("samples without a place in the file")
        return await self._numbers(box, at=8, code=code, count_at=4)

    async def _runs(self, box: Box | None) -> list[tuple[int, int]]:
        """Returns first chunk, counted from 1, and samples in each chunk, for each run of chunks."""
        if box is None:
            return []
        numbers = await self._numbers(box, at=8, code="I", count_at=4, each=3)
        runs = list(zip(numbers[::3], numbers[1::3], strict=True))
        if any(later <= earlier for (earlier, _), (later, _) in pairwise(runs)):
            raise Unremovable("chunks out of order")
        return runs

    async def _numbers(self, box: Box, *, at: int, code: str, count_at: int, each: int = 1) -> array[int]:
        """Returns the numbers of a table, whose count is in its box."""
        numbers: array[int] = array(code)
        count = each * int.from_bytes(await self._field(box, count_at, 4), "big")
        if count > _MAX_SAMPLES or at + count * numbers.itemsize > box.size_bytes:
            raise Unremovable("a table that is too long")
        position, end = box.start + at, box.start + at + count * numbers.itemsize
        while position < end:
            length = min(end - position, MAX_VALUE_BYTES)
            numbers.frombytes(await self._region.read(position, length))
            position += length
        if sys.byteorder == "little":
            numbers.byteswap()
        return numbers

    async def _field(self, box: Box, at: int, length: int) -> bytes:
        if at + length > box.size_bytes:
            raise Unremovable("a table that is cut short")
        return await self._region.read(box.start + at, length)

    async def _keep_runs(self, moof: Box, traf: Box, previous_end: int) -> int:
        """Keeps the samples of one track in a fragment, and returns where their data end."""
        region = self._region
        boxes = [box async for box in children(region, traf.start, traf.end)]
        header = next((box for box in boxes if box.name == b"tfhd"), None)
        if header is None or header.size_bytes > MAX_VALUE_BYTES:
            raise Unremovable("a fragment of no track")
        fields = (await region.read(header.start, header.size_bytes)).ljust(40, b"\0")
        flags, track = struct.unpack_from(">II", fields)
        at, size = 8, self._default_sizes.get(track, 0)
        position = moof.begin if flags & _BASE_IS_MOOF else previous_end
        if flags & _BASE_OFFSET:
            (position,) = struct.unpack_from(">Q", fields, at)
        at += sum(
            length for flag, length in ((_BASE_OFFSET, 8), (_DESCRIPTION, 4), (_DURATION, 4)) if flags & flag
        )
        if flags & _SIZE:
            (size,) = struct.unpack_from(">I", fields, at)
        base = position
        for run in boxes:
            if run.name == b"trun":
                if run.size_bytes > MAX_VALUE_BYTES:
                    raise Unremovable("a table that is too long")
                offset, length = _run(await region.read(run.start, run.size_bytes), size)
                position = position if offset is None else base + offset
                if track in self._kept_tracks:
                    self.keep(position, length)
                position += length
        return position


def _run(body: bytes, default_size: int) -> tuple[int | None, int]:
    """Returns where the data of a `trun` begin, counted from the base, and how long they are."""
    if len(body) < 8:
        raise Unremovable("a table that is cut short")
    flags, count = int.from_bytes(body[1:4], "big"), int.from_bytes(body[4:8], "big")
    offset = int.from_bytes(body[8:12], "big", signed=True) if flags & _RUN_OFFSET else None
    if not flags & _RUN_SIZES:
        return offset, count * default_size
    at = 8 + (4 if flags & _RUN_OFFSET else 0) + (4 if flags & _FIRST_FLAGS else 0)
    stride = sum(1 for field in _RUN_FIELDS if flags & field)
    if at + 4 * stride * count > len(body):
        raise Unremovable("a table that is too long")
    words = struct.unpack_from(f">{stride * count}I", body, at)
    return offset, sum(words[1 if flags & _RUN_FIELDS[0] else 0 :: stride])


async def _track_id(region: Region, trak: Box) -> int:
    header = await descend(region, trak, b"tkhd")
    if header is None or header.size_bytes < 24:
        return 0
    body = await region.read(header.start, 24)
    return int.from_bytes(body[20:24] if body[0] == 1 else body[12:16], "big")


def _gaps(kept: list[tuple[int, int]], box: Box) -> Iterator[tuple[int, int]]:
    """Yields start and end of the gaps between the ranges in a box."""
    position = box.start
    for start, end in kept[max(0, bisect_right(kept, (box.start, 0)) - 1) :]:
        if start >= box.end:
            break
        if start > position:
            yield position, start
        position = max(position, end)
    if position < box.end:
        yield position, box.end
