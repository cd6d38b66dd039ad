"""The waiting records of one topic, over all partitions of a consumer: processed together (ADR-0067)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final, NamedTuple

from kappi_chassis.bus.partition_queue import PartitionQueue, PendingOffset, Spawn
from kappi_chassis.bus.processor import Processor, Record

MOST: Final = 250
"""Records of one transaction, which holds its locks until all of them are handled."""
ENOUGH: Final = 50
"""Waiting records for which the next batch begins at once. More together would cost hardly less per record.
"""
FEW: Final = 4
PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.005
"""Time after a batch until the next, per record of it beyond a FEW. The more records arrive, the more come
together, and the less each costs; few records are not delayed.
"""


class _Waiting(NamedTuple):
    queue: PartitionQueue
    place: PendingOffset
    record: Record


class TopicBatches:
    """Processes the waiting records of a topic, one batch after the other.

    After a failure the records of a batch, and the later ones of their keys, are given back to their queues,
    which process them one by one. slots: of the consumer; a batch takes one.
    """

    def __init__(self, processor: Processor, *, slots: asyncio.Semaphore, spawn: Spawn) -> None:
        self._processor = processor
        self._slots = slots
        self._spawn = spawn
        self._waiting: deque[_Waiting] = deque()
        self._batch: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, queue: PartitionQueue, place: PendingOffset, record: Record) -> None:
        """Adds a record to the next batch."""
        self._waiting.append(_Waiting(queue, place, record))
        if self._task is None:
            self._task = self._spawn(self._work())

    async def stop(self, queues: Collection[PartitionQueue]) -> None:
        """Cancels the batch that is being processed, and drops the records of these queues, which stay not
        done.
        """
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        left = [each for each in (*self._batch, *self._waiting) if each.queue not in queues]
        self._batch, self._waiting, self._task = [], deque(), None
        for each in left:
            self.add(*each)

    async def _work(self) -> None:
        while self._waiting:
            async with self._slots:
                self._batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
                done = await self._processor.process_together([each.record for each in self._batch])
            batch, self._batch = self._batch, []
            self._settle(batch, done)
            if len(self._waiting) < ENOUGH:
                pause_s = max(0, len(batch) - FEW) * PAUSE_S
                await asyncio.sleep(min(pause_s, LONGEST_PAUSE_S))
        self._task = None

    def _settle(self, batch: Collection[_Waiting], done: Collection[bool]) -> None:
        for each, is_done in zip(batch, done, strict=True):
            if is_done:
                each.queue.finish(each.place)
            else:
                each.queue.process_alone(each.place, each.record)
        if not all(done):
            self._give_back()

    def _give_back(self) -> None:
        """Gives the waiting records back whose keys have a queue, so that each key keeps its order."""
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if each.queue.has_queue(each.record.key):
                each.queue.process_alone(each.place, each.record)
            else:
                self._waiting.append(each)
