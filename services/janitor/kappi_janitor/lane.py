"""Between a Faust stream and the Processor: keys side by side, acknowledgements in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
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


class Lane:
    """One topic's records on one process.

    A batch is what arrived while the last one was worked on. Its keys go side by side, a key's records in
    order; it is acknowledged as a whole and in the order of arrival, since Faust takes an acknowledged offset
    to stand for all before it. A record that is tried again holds the batch, and so its topic in this
    process; the other topics go on.
    """

    def __init__(self, processor: Processor, *, concurrency: int, depth: int) -> None:
        """depth: records waiting; then `submit` waits, Faust's buffer fills and fetching is paused."""
        self._processor = processor
        self._slots = asyncio.Semaphore(concurrency)
        self._room = asyncio.Semaphore(depth)
        self._waiting: list[Delivery] = []
        self._arrived = asyncio.Event()

    async def submit(self, delivery: Delivery) -> None:
        await self._room.acquire()
        self._waiting.append(delivery)
        self._arrived.set()

    async def run(self) -> None:
        """Until cancelled. Raises when a dead letter could not be buried: nothing may be skipped silently."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            await self._work_on([delivery for delivery in batch if not delivery.stale])
            for _ in batch:
                self._room.release()

    async def _work_on(self, batch: Sequence[Delivery]) -> None:
        by_key: dict[bytes | None, list[Delivery]] = defaultdict(list)
        for delivery in batch:
            by_key[delivery.record.key].append(delivery)
        sealed: set[int] = set()
        try:
            async with asyncio.TaskGroup() as group:
                for deliveries in by_key.values():
                    group.create_task(self._in_order(deliveries, lambda each: sealed.add(id(each))))
        finally:
            # Stopped halfway: what is sealed from the batch's start on need not come again.
            for delivery in batch:
                if id(delivery) not in sealed:
                    break
                delivery.acknowledge()

    async def _in_order(self, deliveries: Sequence[Delivery], seal: Callable[[Delivery], None]) -> None:
        async with self._slots:
            for delivery in deliveries:
                await self._processor.process(delivery.record)
                seal(delivery)
