"""Boxes of an ISO base media file, read within a budget (ISO/IEC 14496-12, QuickTime File Format)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kappi_mediameta.containers.iso_boxes import TOP_LEVEL, Box, read_box
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader


class BoxReader:
    """Reads and counts the boxes of one file: a file of a million tiny boxes is refused."""

    def __init__(self, reader: BlockReader, *, max_boxes: int) -> None:
        self._reader = reader
        self._boxes_left = max_boxes

    @property
    def size_bytes(self) -> int:
        return self._reader.size_bytes

    async def of_file(self, start: int = 0) -> AsyncIterator[Box]:
        """Yields the boxes from a position to the end of the file, or to appended bytes. Raises ProbeRejected
        for a box that does not fit."""
        position = start
        try:
            async for box in self.children(start, self.size_bytes):
                yield box
                position = box.end
        except ProbeRejected:
            if not position or await self._reader.read(position + 4, 4) in TOP_LEVEL:
                raise

    async def children(self, start: int, end: int) -> AsyncIterator[Box]:
        """Yields the boxes between two positions. Raises ProbeRejected for a box that does not fit."""
        position = start
        # Only the file itself can be cut short; a box too long for its parent contradicts it.
        overrun = RejectReason.CORRUPT if start else RejectReason.TRUNCATED
        while end - position >= 8:
            box = await self._box(position, end, overrun=overrun)
            yield box
            position = box.end

    async def body(self, box: Box, *, at_most: int) -> bytes:
        """Returns the body of a box, or its first `at_most` bytes."""
        return await self._reader.read(box.start, min(box.size_bytes, at_most))

    async def fields(self, box: Box, length: int) -> bytes:
        """Returns exactly the first `length` bytes of the body. Raises ProbeRejected for a shorter box."""
        if box.size_bytes < length:
            raise ProbeRejected(RejectReason.CORRUPT, "box too short")
        return await self._reader.read(box.start, length)

    async def versioned(self, box: Box, *, short: int, long: int) -> bytes:
        """Returns the fixed fields of a full box: `short` bytes, or `long` in the version of 64-bit times."""
        version = (await self.fields(box, 1))[0]
        return await self.fields(box, long if version == 1 else short)

    async def _box(self, position: int, end: int, *, overrun: RejectReason) -> Box:
        if self._boxes_left < 1:
            raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many boxes")
        self._boxes_left -= 1
        box = await read_box(self._reader, position, end)
        if box is None:
            raise ProbeRejected(RejectReason.CORRUPT, "impossible box")
        if box.end > end:
            raise ProbeRejected(overrun, "box does not fit")
        return box
