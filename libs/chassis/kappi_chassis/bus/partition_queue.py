"""The records of one partition in progress: records of a key in order, different keys side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from kappi_chassis.bus.processor import Processor, Record

DEPTH = 1_000

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class PendingOffset:
    """The offset of a record, until all records up to it are done."""

    __slots__ = ("done", "offset", "timestamp_ms")

    def __init__(self, offset: int, timestamp_ms: int | None) -> None:
        self.offset = offset
        self.timestamp_ms = timestamp_ms
        self.done = False


class Batches(Protocol):
    """The records of a topic that wait to be processed together."""

    def add(self, queue: PartitionQueue, place: PendingOffset, record: Record) -> None:
        """Adds a record. Its place is finished, or it is given back to `queue.process_alone`."""
        ...


class PartitionQueue:
    """Hands records to the processor and tracks up to which offset all are done.

    slots: shared by the consumer's queues; limits what is processed at once. A record that waits after a
    failure keeps its slot and holds back the offset; other keys go on, until DEPTH records are open.

    batches: of the topic, shared by its partitions; None to process each record alone. A key is either in the
    batches or has a queue here, so its records keep their order.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        slots: asyncio.Semaphore,
        spawn: Spawn,
        batches: Batches | None = None,
    ) -> None:
        self.next_offset: int | None = None
        """All records before this offset are done. None before the first record."""
        self.committed: int | None = None
        self.paused = False
        self._processor = processor
        self._slots = slots
        self._spawn = spawn
        self._batches = batches
        self._open: deque[PendingOffset] = deque()
        self._queues: dict[bytes | None, deque[tuple[PendingOffset, Record]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._open) >= DEPTH

    @property
    def idle(self) -> bool:
        """Whether all records are done and committed."""
        return not self._open and self.next_offset == self.committed

    @property
    def has_room(self) -> bool:
        return len(self._open) <= DEPTH // 2

    def behind(self, end: int) -> int:
        """Returns the number of records that are not done. end: the next offset of the partition."""
        reached = self._open[0].offset if self._open else self.next_offset
        return 0 if reached is None else max(0, end - reached)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest record that is not done was sent, in Unix time; None if all are done."""
        return self._open[0].timestamp_ms if self._open else None

    def submit(self, records: Iterable[Record]) -> None:
        """Starts processing records, in the order of their offsets."""
        for record in records:
            place = PendingOffset(record.offset, record.timestamp_ms)
            self._open.append(place)
            if self._batches is not None and not self.has_queue(record.key):
                self._batches.add(self, place, record)
            else:
                self.process_alone(place, record)

    def has_queue(self, key: bytes | None) -> bool:
        """Returns whether records of a key are processed one by one at the moment."""
        return key in self._queues

    def process_alone(self, place: PendingOffset, record: Record) -> None:
        """Starts processing a submitted record by itself, after the others of its key."""
        queue = self._queues.get(record.key)
        if queue is not None:
            queue.append((place, record))
            return
        self._queues[record.key] = queue = deque([(place, record)])
        task = self._spawn(self._work(record.key, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finish(self, place: PendingOffset) -> None:
        """Notes that a submitted record is done."""
        place.done = True
        while self._open and self._open[0].done:
            self.next_offset = self._open.popleft().offset + 1

    async def stop(self) -> None:
        """Cancels what is being processed; it stays not done."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, key: bytes | None, queue: deque[tuple[PendingOffset, Record]]) -> None:
        while queue:
            place, record = queue.popleft()
            async with self._slots:
                await self._processor.process(record)
            self.finish(place)
        del self._queues[key]
