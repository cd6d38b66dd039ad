"""Reads the bytes of stored files, several reads ahead of the client, in order and within a window."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kappi_chassis.storage import ObjectStore, StorageUnavailable

from kappi_media.archive.layout import Data, End, Header, Listing, Piece, StoredFile

READS_AHEAD = 4
MAX_STEPS_AHEAD = 64
"""Headers do not count against the window, so their number has a bound of its own."""
_ATTEMPTS = 3
_PAUSE_S = 0.3


class ContentChanged(Exception):
    """The object under a file's key is not the one that the archive was laid out for."""


class Blocks:
    """Reads ranges of stored files, and repeats a read that fails, because a client's download of gigabytes
    depends on it.

    size_bytes: of one read, at most.
    """

    def __init__(self, store: ObjectStore, *, size_bytes: int) -> None:
        self._store = store
        self.size_bytes = size_bytes

    async def read(self, file: StoredFile, start: int, length: int) -> bytes:
        """Returns exactly these bytes. Raises ContentChanged, ObjectMissing, StorageUnavailable,
        StorageRefused.
        """
        attempt = 1
        while True:
            try:
                found = await self._store.read(file.key, start=start, length=length)
            except StorageUnavailable:
                if attempt == _ATTEMPTS:
                    raise
            else:
                if found.head.etag != file.etag or len(found.body) != length:
                    raise ContentChanged(f"another object than the one of {file.size_bytes} bytes")
                return found.body
            await asyncio.sleep(_PAUSE_S * attempt)
            attempt += 1


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a file that is being read, or has been."""

    number: int
    length: int
    body: asyncio.Task[bytes]


Step = Header | Block | Listing | End


class ReadAhead:
    """The pieces of an archive with their reads under way, across file boundaries.

    window_bytes: the bytes that are read and not yet taken, in at most READS_AHEAD reads. It must be closed,
    also after a failure.
    """

    def __init__(
        self, pieces: Iterator[Piece], *, files: Sequence[StoredFile], blocks: Blocks, window_bytes: int
    ) -> None:
        self._pieces = _split(pieces, blocks.size_bytes)
        self._files = files
        self._blocks = blocks
        self._window_bytes = window_bytes
        self._queue: deque[Step] = deque()
        self._queued_bytes = 0
        self._reads = 0
        self._next = next(self._pieces, None)

    def take(self) -> Step | None:
        """Returns the next step; None at the end."""
        self._fill()
        if not self._queue:
            return None
        step = self._queue.popleft()
        if isinstance(step, Block):
            self._queued_bytes -= step.length
            self._reads -= 1
        self._fill()
        return step

    def blocks_of(self, index: int) -> list[Block]:
        """Returns the blocks of the next file that are being read."""
        found = []
        for step in self._queue:
            if not isinstance(step, Block) or step.number != index:
                break
            found.append(step)
        return found

    async def close(self) -> None:
        """Cancel the reads, and wait for their end."""
        tasks = [step.body for step in self._queue if isinstance(step, Block)]
        self._queue.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fill(self) -> None:
        while self._next is not None and len(self._queue) < MAX_STEPS_AHEAD:
            piece = self._next
            if not isinstance(piece, Data):
                self._queue.append(piece)
            elif self._has_room(piece.length):
                self._queue.append(self._started(piece))
            else:
                return
            self._next = next(self._pieces, None)

    def _has_room(self, length: int) -> bool:
        if self._reads == 0:
            return True
        return self._reads < READS_AHEAD and self._queued_bytes + length <= self._window_bytes

    def _started(self, piece: Data) -> Block:
        reading = self._blocks.read(self._files[piece.number], piece.start, piece.length)
        self._queued_bytes += piece.length
        self._reads += 1
        return Block(piece.number, piece.length, asyncio.create_task(reading, name="archive-read"))


def _split(pieces: Iterator[Piece], block_bytes: int) -> Iterator[Piece]:
    for piece in pieces:
        if isinstance(piece, Data):
            for skip in range(0, piece.length, block_bytes):
                yield Data(piece.number, piece.start + skip, min(block_bytes, piece.length - skip))
        else:
            yield piece
