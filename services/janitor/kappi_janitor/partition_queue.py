"""Between a Faust stream and the Processor: keys side by side, acknowledgements in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

from kappi_chassis.bus import Processor, Record


class Delivery(Protocol):
    """One record on its way: what it is, whether it still concerns us, and how to acknowledge it."""

    @property
    def record(self) -> Record: ...

    @property
    def stale(self) -> bool:
        """A rebalance came after it was fetched: whoever has the partition now gets it again."""
        ...

    def acknowledge(self) -> None: ...


class PartitionQueue:
    """One partition's records.

    What arrived while the last batch was worked on is the next one: its keys go side by side, a key's records
    in order. A record is acknowledged once it and all before it are sealed, because Faust commits past one
    that is not if the next one was acknowledged. A record that is tried again holds its partition; the others
    go on.
    """

    def __init__(self, processor: Processor, *, concurrency: int, depth: int) -> None:
        """depth: records waiting; then `submit` waits, Faust's buffer fills and fetching is paused."""
        self._processor = processor
        self._slots = asyncio.Semaphore(concurrency)
        self._room = asyncio.Semaphore(depth)
        self._waiting: list[Delivery] = []
        self._arrived = asyncio.Event()
        self._unacknowledged: deque[Delivery] = deque()
        self._sealed: set[int] = set()

    async def submit(self, delivery: Delivery) -> None:
        await self._room.acquire()
        self._waiting.append(delivery)
        self._arrived.set()

    async def run(self) -> None:
        """Until cancelled. Raises when a dead letter could not be written: no record is skipped silently."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            await self._work_on([delivery for delivery in batch if not delivery.stale])
            for _ in batch:
                self._room.release()

    async def _work_on(self, batch: Sequence[Delivery]) -> None:
        self._unacknowledged.extend(batch)
        by_key: dict[bytes | None, list[Delivery]] = defaultdict(list)
        for delivery in batch:
            by_key[delivery.record.key].append(delivery)
        async with asyncio.TaskGroup() as group:
            for deliveries in by_key.values():
                group.create_task(self._in_order(deliveries))

    async def _in_order(self, deliveries: Sequence[Delivery]) -> None:
        async with self._slots:
            for delivery in deliveries:
                await self._processor.process(delivery.record)
                self._seal(delivery)

    def _seal(self, delivery: Delivery) -> None:
        self._sealed.add(id(delivery))
        while self._unacknowledged and id(self._unacknowledged[0]) in self._sealed:
            done = self._unacknowledged.popleft()
            self._sealed.remove(id(done))
            done.acknowledge()
