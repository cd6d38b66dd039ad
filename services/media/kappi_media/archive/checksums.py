"""The CRC-32 of originals: computed once, and saved for every later archive.

A ZIP header contains the checksum of the bytes that follow it, and the directory those of all files. A file
without a saved checksum is read before its header is sent; a file that fits the window is still in memory
then.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db.failures import database_is_away
from kappi_chassis.observability.logs import get_logger

from kappi_media import metrics
from kappi_media.archive.layout import Data, StoredFile
from kappi_media.archive.reading import Block, Blocks, ReadAhead

FLUSH_AFTER_S = 0.5
BATCH = 500
KEPT_CHECKSUMS = 20_000
KEPT_CHECKPOINTS = 1_000
THREADS = 2

_log = get_logger(__name__)


class Checksum(NamedTuple):
    """The checksum of the object with this ETag; another object of the same item has another ETag."""

    media_id: UUID
    etag: str
    crc32: int


class Checkpoint(NamedTuple):
    """The checksum of a file's first `offset` bytes."""

    offset: int = 0
    crc32: int = 0


Save = Callable[[Sequence[Checksum]], Awaitable[None]]


class ChecksumLedger:
    """Holds the checksums that this process computed and that may not be saved yet.

    save: records them, and may be called twice with the same checksum. A lost checksum is computed again.
    """

    def __init__(self, save: Save) -> None:
        self._save = save
        self._unsaved: OrderedDict[tuple[UUID, str], int] = OrderedDict()
        self._checkpoints: OrderedDict[tuple[str, str], Checkpoint] = OrderedDict()
        self._saving: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="checksum")

    async def count(self, body: bytes, crc32: int = 0) -> int:
        """Returns the checksum, continued from `crc32`. It runs on a thread: a megabyte takes about a
        millisecond.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, zlib.crc32, body, crc32)

    def known(self, file: StoredFile) -> int | None:
        if file.crc32 is not None:
            return file.crc32
        return self._unsaved.get((file.media_id, file.etag))

    def note(self, file: StoredFile, crc32: int) -> None:
        """Save a checksum soon. It never waits."""
        self._checkpoints.pop((file.key, file.etag), None)
        self._unsaved[file.media_id, file.etag] = crc32
        if len(self._unsaved) > KEPT_CHECKSUMS:
            self._unsaved.popitem(last=False)
        if self._saving is None and not self._closing.is_set():
            self._saving = asyncio.create_task(self._save_soon(), name="checksums")

    def checkpoint(self, file: StoredFile) -> Checkpoint:
        """Returns how far an interrupted computation came."""
        return self._checkpoints.get((file.key, file.etag), Checkpoint())

    def leave(self, file: StoredFile, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint for a later request: a large file may take longer than a client waits."""
        if checkpoint.offset <= self.checkpoint(file).offset:
            return  # another request came further
        self._checkpoints[file.key, file.etag] = checkpoint
        if len(self._checkpoints) > KEPT_CHECKPOINTS:
            self._checkpoints.popitem(last=False)

    async def close(self) -> None:
        """Save the remaining checksums, and end."""
        self._closing.set()
        if self._saving is not None:
            await self._saving
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _save_soon(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_AFTER_S):
                await self._closing.wait()
        except TimeoutError:
            pass  # the usual case: several are saved together
        try:
            while self._unsaved:
                batch = [Checksum(*key, crc32) for key, crc32 in list(self._unsaved.items())[:BATCH]]
                await self._save(batch)
                for saved in batch:
                    self._unsaved.pop((saved.media_id, saved.etag), None)
        except Exception as error:
            if not (database_is_away(error) or isinstance(error, (OSError, TimeoutError))):
                raise
            # The checksums are kept, and saved with the next ones.
            _log.warning("archive.checksums_not_saved", error_type=type(error).__name__)
        finally:
            self._saving = None


class Counting:
    """The checksums of one archive, computed as its headers and directory need them.

    It must be closed, also after a failure.
    """

    def __init__(self, files: Sequence[StoredFile], *, ledger: ChecksumLedger, blocks: Blocks) -> None:
        self._files = files
        self._ledger = ledger
        self._blocks = blocks
        # A copy: the ledger drops what it has saved, and these files were read from the database earlier.
        self._counted = {
            index: crc32
            for index, file in enumerate(files)
            if file.crc32 is None and (crc32 := ledger.known(file)) is not None
        }
        self._first: Iterator[int] = iter(())
        self._afterwards: Sequence[int] = ()
        self._ahead: asyncio.Task[None] | None = None
        self._rest: asyncio.Task[None] | None = None

    def knows(self, index: int) -> bool:
        return self._files[index].crc32 is not None or index in self._counted

    def begin(self, *, first: Iterable[int], afterwards: Sequence[int]) -> None:
        """Start to read.

        first: files whose checksum is needed for their header, in order. afterwards: those whose checksum
        only the directory needs. One file is read ahead of the one being sent, so that a client that leaves
        early does not cause the whole gallery to be read.
        """
        self._first = iter(first)
        self._afterwards = afterwards
        self._go_on()

    async def of(self, index: int) -> int:
        """Returns the checksum of a file, which must be known or announced to `begin`. Raises what reading it
        raises.
        """
        while (crc32 := self._found(index)) is None:
            if self._ahead is not None:
                await self._ahead
                self._go_on()
            else:
                assert self._rest is not None, "it was announced"
                assert not self._rest.done(), "it was announced"
                await self._rest
        return crc32

    async def of_blocks(self, index: int, blocks: Sequence[Block]) -> int:
        """As `of`, for a file whose blocks are all in memory, or being read."""
        crc32 = self._found(index)
        if crc32 is None:
            crc32 = 0
            for block in blocks:
                crc32 = await self._ledger.count(await block.body, crc32)
            self._note(index, crc32)
        return crc32

    async def close(self) -> None:
        """Cancel the reads, and wait for their end."""
        tasks = [task for task in (self._ahead, self._rest) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _found(self, index: int) -> int | None:
        crc32 = self._counted.get(index)
        if crc32 is None and (crc32 := self._ledger.known(self._files[index])) is not None:
            # Another archive computed it meanwhile. A copy, as above: the directory will need it again.
            self._counted[index] = crc32
        return crc32

    def _go_on(self) -> None:
        index = next(self._first, None)
        if index is not None:
            self._ahead = asyncio.create_task(self._count((index,)), name="archive-count")
        else:
            self._ahead = None
            if self._afterwards and self._rest is None:
                self._rest = asyncio.create_task(self._count(self._afterwards), name="archive-count")

    async def _count(self, indices: Iterable[int]) -> None:
        for index in indices:
            if self._found(index) is None:
                self._note(index, await self._read_through(self._files[index]))

    async def _read_through(self, file: StoredFile) -> int:
        offset, crc32 = self._ledger.checkpoint(file)
        rest = iter([Data(0, offset, file.size_bytes - offset)])
        ahead = ReadAhead(rest, files=(file,), blocks=self._blocks, window_bytes=2 * self._blocks.size_bytes)
        try:
            while isinstance(block := ahead.take(), Block):
                crc32 = await self._ledger.count(await block.body, crc32)
                offset += block.length
                metrics.ARCHIVE_COUNTED_BYTES.inc(block.length)
        finally:
            if offset < file.size_bytes:
                self._ledger.leave(file, Checkpoint(offset, crc32))
            await ahead.close()
        return crc32

    def _note(self, index: int, crc32: int) -> None:
        self._counted[index] = crc32
        self._ledger.note(self._files[index], crc32)
