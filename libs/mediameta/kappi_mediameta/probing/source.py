"""Sources of bytes: any part of an object, never all of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from kappi_mediameta.probing.rejection import ProbeRejected, RejectReason

BLOCK_BYTES: Final = 64 << 10
_CACHED_BLOCKS: Final = 16


class RangedSource(Protocol):
    """An object readable in ranges. Errors of the store pass through the probe and the renderer unchanged."""

    @property
    def size_bytes(self) -> int: ...

    async def read(self, start: int, length: int) -> bytes:
        """Returns `length` bytes from `start`, fewer only at the end of the object."""
        ...


class BytesSource:
    """A small file in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @property
    def size_bytes(self) -> int:
        return len(self._body)

    async def read(self, start: int, length: int) -> bytes:
        return self._body[start : start + length]


class PartSource:
    """A part of a file, which has a structure of its own."""

    def __init__(self, file: RangedSource, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = max(0, min(length, file.size_bytes - start))

    @property
    def size_bytes(self) -> int:
        return self._length

    async def read(self, start: int, length: int) -> bytes:
        return await self._file.read(self._start + start, min(length, self._length - start))


class BlockReader:
    """Makes small exact reads from aligned blocks of a source, within a budget.

    A walk over a header makes dozens of reads of a few bytes. The source gets one read per block of 64 KiB.
    Memory is bounded by 16 blocks. Raises ProbeRejected: `truncated` for missing bytes, `too_complex` where
    the budget of reads or bytes is spent.
    """

    def __init__(self, source: RangedSource, *, max_reads: int, max_read_bytes: int) -> None:
        self._source = source
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._reads_left = max_reads
        self._bytes_left = max_read_bytes
        self.size_bytes = source.size_bytes

    async def read(self, start: int, length: int) -> bytes:
        """Returns exactly `length` bytes."""
        if start < 0 or start + length > self.size_bytes:
            raise ProbeRejected(RejectReason.TRUNCATED, "structure reaches past the end")
        number, offset = divmod(start, BLOCK_BYTES)
        if offset + length <= BLOCK_BYTES:
            return (await self._block(number))[offset : offset + length]
        last = (start + length - 1) // BLOCK_BYTES
        joined = b"".join([await self._block(n, ahead=last - n) for n in range(number, last + 1)])
        return joined[offset : offset + length]

    async def read_upto(self, start: int, length: int) -> bytes:
        """Returns `length` bytes, fewer at the end."""
        return await self.read(start, max(0, min(length, self.size_bytes - start)))

    async def scan(self, start: int) -> bytes:
        """Returns the bytes from `start` to the end of its block."""
        return await self.read_upto(start, BLOCK_BYTES - start % BLOCK_BYTES)

    def damaged(self, detail: str) -> ProbeRejected:
        return ProbeRejected(RejectReason.CORRUPT, detail)

    def too_many(self, parts: str) -> ProbeRejected:
        return ProbeRejected(RejectReason.TOO_COMPLEX, f"too many {parts}")

    def part(self, start: int, length: int) -> BlockReader:
        """Returns a reader of a part of the file, which has the rest of this reader's budget."""
        part = PartSource(self, start, length)
        return BlockReader(part, max_reads=self._reads_left, max_read_bytes=self._bytes_left)

    async def tail(self, length: int) -> bytes:
        """Returns the last `length` bytes, or all of a shorter source."""
        length = min(length, self.size_bytes)
        return await self.read(self.size_bytes - length, length)

    async def _block(self, number: int, *, ahead: int = 0) -> bytes:
        """Returns a block. A fetch of it also fetches up to `ahead` blocks more."""
        block = self._blocks.get(number)
        if block is not None:
            self._blocks.move_to_end(number)
            return block
        start = number * BLOCK_BYTES
        ahead = min(ahead, _CACHED_BLOCKS - 1)
        expected = min((1 + ahead) * BLOCK_BYTES, self.size_bytes - start)
        if self._reads_left < 1 or self._bytes_left < expected:
            raise ProbeRejected(RejectReason.TOO_COMPLEX, "header spread over too much of the file")
        self._reads_left -= 1
        self._bytes_left -= expected
        fetched = await self._source.read(start, expected)
        if len(fetched) != expected:
            raise ProbeRejected(RejectReason.TRUNCATED, "object is shorter than its size says")
        for at in range(0, expected, BLOCK_BYTES):
            self._blocks[number + at // BLOCK_BYTES] = fetched[at : at + BLOCK_BYTES]
        while len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]
