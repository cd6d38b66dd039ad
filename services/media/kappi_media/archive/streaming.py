"""Sends an archive to a client: in constant memory, at the client's speed, and never short without an
error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kappi_media import metrics
from kappi_media.archive.checksums import ChecksumLedger, Counting
from kappi_media.archive.layout import ArchiveLayout, Data, End, Header, Listing
from kappi_media.archive.reading import READS_AHEAD, Block, Blocks, ReadAhead

GATHERED_BYTES = 64 * 1024
"""The size up to which the small records of the directory are sent together."""

Write = Callable[[bytes], Awaitable[None]]


class ArchiveStream:
    """The bytes from `first` to `last` of an archive, both included.

    The bytes that are read from the store and not yet written are limited to `READS_AHEAD` blocks.
    """

    def __init__(
        self,
        layout: ArchiveLayout,
        *,
        first: int,
        last: int,
        blocks: Blocks,
        ledger: ChecksumLedger,
    ) -> None:
        self._layout = layout
        self._span = first, last
        self._blocks = blocks
        self._window_bytes = READS_AHEAD * blocks.size_bytes
        self._ledger = ledger

    async def send_to(self, write: Write) -> None:
        """Write all of it; the next piece follows when `write` returns. All reads have ended when it returns
        or raises.

        Raises what `write` raises, and ContentChanged, ObjectMissing, StorageUnavailable, StorageRefused:
        then what was written is incomplete.
        """
        counting = Counting(self._layout.files, ledger=self._ledger, blocks=self._blocks)
        self._announce(counting)
        ahead = ReadAhead(
            self._layout.pieces(*self._span),
            files=self._layout.files,
            blocks=self._blocks,
            window_bytes=self._window_bytes,
        )
        try:
            await self._send(ahead, counting, write)
        finally:
            await ahead.close()
            await counting.close()

    async def _send(self, ahead: ReadAhead, counting: Counting, write: Write) -> None:
        gathered = bytearray()
        while (step := ahead.take()) is not None:
            match step:
                case Block():
                    if gathered:
                        await write(bytes(gathered))
                        gathered.clear()
                    body = await step.body
                    await write(body)
                    metrics.ARCHIVE_BYTES.inc(step.length)
                case Header():
                    gathered += self._layout.header(step, await self._crc32(step.number, ahead, counting))
                case Listing():
                    gathered += self._layout.listing(step, await counting.of(step.number))
                case End():
                    gathered += self._layout.end(step)
            if len(gathered) >= GATHERED_BYTES:
                await write(bytes(gathered))
                gathered.clear()
        if gathered:
            await write(bytes(gathered))

    async def _crc32(self, index: int, ahead: ReadAhead, counting: Counting) -> int:
        blocks = ahead.blocks_of(index)
        if sum(block.length for block in blocks) == self._layout.files[index].size_bytes:
            return await counting.of_blocks(index, blocks)
        return await counting.of(index)

    def _announce(self, counting: Counting) -> None:
        """Find the files that must be read before their header, or the directory, can be sent."""
        files = self._layout.files
        first: list[int] = []
        afterwards: list[int] = []
        headed: set[int] = set()
        for piece in self._layout.pieces(*self._span):
            match piece:
                case Header(index) if not counting.knows(index):
                    first.append(index)
                    headed.add(index)
                case Data(index, _, length) if first and first[-1] == index:
                    if length == files[index].size_bytes <= self._window_bytes:
                        first.pop()  # it is all in memory when its header is sent
                case Listing(index) if index not in headed and not counting.knows(index):
                    afterwards.append(index)
        counting.begin(first=first, afterwards=afterwards)
