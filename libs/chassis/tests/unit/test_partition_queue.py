"""A partition's queue: order per key, and a committed offset that never passes unfinished records."""

from __future__ import annotations

import asyncio

from kappi_chassis.bus.partition_queue import PartitionQueue
from kappi_chassis.bus.processor import Record


class Slow:
    """A processor that finishes records when the test says so."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.release: dict[int, asyncio.Event] = {}

    async def process(self, record: Record) -> None:
        self.order.append(record.offset)
        if record.offset in self.release:
            await self.release[record.offset].wait()


def queue_of(processor: Slow, *, slots: int = 8) -> PartitionQueue:
    return PartitionQueue(processor, slots=asyncio.Semaphore(slots), spawn=asyncio.ensure_future)  # type: ignore[arg-type]


def record(offset: int, key: bytes) -> Record:
    return Record(topic="GalleryDeleted", partition=0, offset=offset, key=key, value=b"", headers=())


async def test_a_slow_key_delays_the_committed_offset_but_no_other_key() -> None:
    processor = Slow()
    processor.release[1] = asyncio.Event()
    queue = queue_of(processor)
    queue.submit([record(0, b"a"), record(1, b"b"), record(2, b"a"), record(4, b"b")])
    await asyncio.sleep(0.01)
    queue.submit([record(5, b"c")])
    await asyncio.sleep(0.01)
    assert sorted(processor.order) == [0, 1, 2, 5]
    assert (queue.next_offset, queue.behind(6)) == (1, 5)
    processor.release[1].set()
    await asyncio.sleep(0.01)
    assert processor.order[4:] == [4]
    assert (queue.next_offset, queue.behind(6)) == (6, 0)


async def test_a_stopped_queue_finishes_no_more_records() -> None:
    processor = Slow()
    processor.release[0] = asyncio.Event()
    queue = queue_of(processor, slots=1)
    queue.submit([record(0, b"a"), record(1, b"b")])
    await asyncio.sleep(0.01)
    await queue.stop()
    assert queue.next_offset is None
    assert processor.order == [0]
