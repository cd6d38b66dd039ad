"""Elements of an EBML file, read within a budget."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kappi_mediameta.containers.ebml import MAX_HEADER_BYTES, Element, element_at
from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason
from kappi_mediameta.probing.source import BlockReader


class ElementReader:
    """Reads and counts the elements of one file: a file of a million tiny elements is refused."""

    def __init__(self, reader: BlockReader, *, max_elements: int) -> None:
        self._reader = reader
        self._left = max_elements

    @property
    def size_bytes(self) -> int:
        return self._reader.size_bytes

    async def children(self, start: int, end: int) -> AsyncIterator[Element]:
        """Yields the elements between two positions, to one of unknown size at most. Raises ProbeRejected."""
        position: int | None = start
        while position is not None and position < end:
            if self._left < 1:
                raise ProbeRejected(RejectReason.TOO_COMPLEX, "too many elements")
            self._left -= 1
            head = await self._reader.read_upto(position, MAX_HEADER_BYTES)
            element = element_at(head, position)
            if element is None:
                raise ProbeRejected(RejectReason.CORRUPT, "impossible element")
            yield element
            position = element.end

    async def body(self, element: Element, *, at_most: int) -> bytes:
        """Returns all of the body. Raises ProbeRejected: `too_complex` where it is longer or has no size."""
        if element.end is None or element.end - element.start > at_most:
            raise ProbeRejected(RejectReason.TOO_COMPLEX, "element too long")
        return await self._reader.read(element.start, element.end - element.start)
