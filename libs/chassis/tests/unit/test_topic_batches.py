"""Records of many keys and partitions handled together: what a failure does, and what stays in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from kappi_chassis.bus import topic_batches
from kappi_chassis.bus.mac import EventMac
from kappi_chassis.bus.partition_queue import PartitionQueue
from kappi_chassis.bus.processor import Poison, Processor, Record
from kappi_chassis.bus.topic_batches import TopicBatches
from kappi_chassis.observability import metrics
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from kappi_testkit.eventually import eventually

TOPIC = "GalleryDeleted"


def record(offset: int, key: str, *, value: bytes | None = None, partition: int = 0) -> Record:
    """Returns a record whose event has its offset as sequence."""
    event = GalleryDeleted(
        gallery_id=UUID(int=offset), owner_id=None, reason="requested", deleted_at=datetime.now(UTC)
    )
    envelope = Envelope(id=uuid4(), source="/tests", time=datetime.now(UTC), sequence=offset, data=event)
    return Record(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        key=key.encode(),
        value=envelope.value() if value is None else value,
        headers=envelope.headers(),
    )


class Handler:
    """Notes the sequences that it handles together and alone. failing: sequences that raise Poison."""

    def __init__(self, *failing: int) -> None:
        self.together: list[list[int]] = []
        self.alone: list[int] = []
        self.failing = set(failing)
        self.hold: asyncio.Event | None = None
        self.holds_alone: dict[int, asyncio.Event] = {}

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        if envelope.sequence in self.holds_alone:
            await self.holds_alone[envelope.sequence].wait()
        self.alone.append(envelope.sequence)
        if envelope.sequence in self.failing:
            raise Poison("never")
        return True

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        sequences = [envelope.sequence for envelope in envelopes]
        self.together.append(sequences)
        if self.hold is not None:
            await self.hold.wait()
        if self.failing & set(sequences):
            raise Poison("one of them")
        return [True] * len(envelopes)


class DeadLettersOfTest:
    def __init__(self) -> None:
        self.offsets: list[int] = []

    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        self.offsets.append(record.offset)


class Partitions:
    """The queues of one topic, as a consumer makes them."""

    def __init__(self, handler: Any, *, slots: int = 8, mac: EventMac | None = None) -> None:
        self.dead_letters = DeadLettersOfTest()
        self.tasks: list[asyncio.Task[None]] = []
        self.processor = Processor(
            group="tests", handlers={TOPIC: handler}, dead_letters=self.dead_letters, mac=mac
        )
        limit = asyncio.Semaphore(slots)
        self.batches = TopicBatches(self.processor, slots=limit, spawn=self._spawn)
        self.queues = defaultdict[int, PartitionQueue](
            lambda: PartitionQueue(self.processor, slots=limit, spawn=self._spawn, batches=self.batches)
        )

    def submit(self, *records: Record) -> None:
        for each in records:
            self.queues[each.partition].submit([each])

    async def settled(self) -> None:
        """Waits until nothing is being processed."""
        while pending := [task for task in self.tasks if not task.done()]:
            async with asyncio.timeout(10):
                await asyncio.gather(*pending)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task


async def turns() -> None:
    """Lets the tasks run until each of them waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_records_of_all_partitions_and_keys_are_one_batch() -> None:
    handler = Handler()
    partitions = Partitions(handler)
    counted = metrics.CONSUMER_RECORDS.labels(TOPIC, "done")
    before = counted._value.get()
    partitions.submit(record(0, "a"), record(1, "b"), record(2, "a"), record(7, "c", partition=1))
    await partitions.settled()
    assert handler.together == [[0, 1, 2, 7]]
    assert not handler.alone
    assert (partitions.queues[0].next_offset, partitions.queues[1].next_offset) == (3, 8)
    assert counted._value.get() == before + 4


async def test_a_poison_record_alone_is_dead_lettered() -> None:
    handler = Handler(2)
    partitions = Partitions(handler)
    failures = metrics.CONSUMER_BATCH_FAILURES.labels(TOPIC)
    before = failures._value.get()
    partitions.submit(*(record(number, f"k{number % 3}") for number in range(6)))
    await partitions.settled()
    assert handler.together == [[0, 1, 2, 3, 4, 5]]
    assert sorted(handler.alone) == [0, 1, 2, 3, 4, 5]
    assert partitions.dead_letters.offsets == [2]
    assert partitions.queues[0].next_offset == 6
    assert failures._value.get() == before + 1
    partitions.submit(record(6, "k0"))  # and batches go on
    await partitions.settled()
    assert handler.together[-1] == [6]


async def test_later_records_of_a_failed_batchs_keys_wait_for_it() -> None:
    """Key a waits alone; its record that came during the batch follows it, and other keys do not wait."""
    handler = Handler(1)
    handler.hold, handler.holds_alone[0] = asyncio.Event(), asyncio.Event()
    partitions = Partitions(handler)
    partitions.submit(record(0, "a"), record(1, "b"))
    await turns()
    partitions.submit(record(2, "a"), record(3, "c"))
    handler.hold.set()
    await turns()
    partitions.submit(record(4, "a"), record(5, "d"))

    def others_go_on() -> None:
        assert [number for batch in handler.together[1:] for number in batch] == [3, 5]

    await eventually(others_go_on, deadline_s=10)
    assert handler.alone == [1]
    handler.holds_alone[0].set()
    await partitions.settled()
    assert handler.alone == [1, 0, 2, 4]
    assert partitions.queues[0].next_offset == 6


async def test_records_that_cannot_be_read_are_settled_without_a_failed_batch() -> None:
    handler, mac = Handler(), EventMac(["a-secret-of-the-deployment"])
    partitions = Partitions(handler, mac=mac)
    malformed, good = record(1, "a", value=b"not json"), record(2, "a")
    signed = [
        Record(
            topic=TOPIC,
            partition=0,
            offset=each.offset,
            key=each.key,
            value=each.value,
            headers=mac.signed(topic=TOPIC, key=each.key, value=each.value, headers=each.headers),
        )
        for each in (malformed, good)
    ]
    fates = {fate: metrics.CONSUMER_RECORDS.labels(TOPIC, fate) for fate in ("refused", "dead_lettered")}
    before = {fate: counter._value.get() for fate, counter in fates.items()}
    partitions.submit(record(0, "forged"), *signed)
    await partitions.settled()
    assert (handler.together, handler.alone) == ([[2]], [])
    assert partitions.dead_letters.offsets == [1]
    assert {fate: counter._value.get() - before[fate] for fate, counter in fates.items()} == {
        "refused": 1,
        "dead_lettered": 1,
    }
    assert partitions.queues[0].next_offset == 3


async def test_a_batch_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_batches, "MOST", 10)
    monkeypatch.setattr(topic_batches, "ENOUGH", 1)
    handler = Handler()
    partitions = Partitions(handler)
    partitions.submit(*(record(number, f"k{number}") for number in range(25)))
    await partitions.settled()
    assert [len(batch) for batch in handler.together] == [10, 10, 5]


async def test_stopping_leaves_the_records_undone_and_those_of_other_partitions_in_order() -> None:
    handler = Handler()
    handler.hold = asyncio.Event()
    partitions = Partitions(handler)
    partitions.submit(record(0, "a"), record(0, "b", partition=1), record(1, "b", partition=1))
    await turns()
    partitions.submit(record(1, "a"), record(2, "b", partition=1))
    stopped = partitions.queues.pop(0)
    await partitions.batches.stop([stopped])
    handler.hold.set()
    await stopped.stop()
    await asyncio.gather(*partitions.tasks, return_exceptions=True)
    assert stopped.next_offset is None
    assert handler.together == [[0, 0, 1], [0, 1, 2]]
    assert partitions.queues[1].next_offset == 3


async def test_a_handler_without_a_form_for_many_is_called_for_each_record() -> None:
    async def alone(_: Envelope[Any]) -> bool:
        return True

    plain = Processor(group="tests", handlers={TOPIC: alone}, dead_letters=DeadLettersOfTest())
    assert not plain.handles_together(TOPIC)
    assert Partitions(Handler()).processor.handles_together(TOPIC)
