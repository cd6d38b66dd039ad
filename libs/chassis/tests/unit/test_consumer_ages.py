"""The ages of a consumer, with a clock of the test and a broker that answers when told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from kappi_chassis.bus.consumer_ages import ConsumerAges, is_answered
from kappi_chassis.bus.partition_queue import PartitionQueue
from kappi_chassis.bus.processor import Record

START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = TopicPartition("p.LinkExpired", 0), TopicPartition("p.LinkExpired", 1)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def ms(self) -> int:
        return round(self.now.timestamp() * 1e3)


class Broker:
    """Stands in for aiokafka's consumer: its last answers by partition."""

    def __init__(self, **answers: int | None) -> None:
        self.answers: dict[TopicPartition, int | None] = {}

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        if partition not in self.answers:
            raise IllegalStateError("revoked")
        return self.answers[partition]

    def assignment(self) -> set[TopicPartition]:
        return set(self.answers)


class Retrying:
    """Stands in for a processor that retries one record until it is told to go on."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def process(self, _: Record) -> None:
        await self.may_go_on.wait()


def queue_of(processor: Any, tasks: list[asyncio.Task[None]]) -> PartitionQueue:
    def spawn(work: Any) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work))
        return tasks[-1]

    return PartitionQueue(processor, slots=asyncio.Semaphore(8), spawn=spawn)


def sent(clock: Clock, offset: int) -> Record:
    return Record("LinkExpired", 0, offset, b"%d" % offset, b"", (), timestamp_ms=clock.ms)


async def test_a_record_that_is_retried_grows_old() -> None:
    clock, processor, tasks = Clock(), Retrying(), list[asyncio.Task[None]]()
    queues = {FIRST: queue_of(processor, tasks)}
    ages = ConsumerAges(queues, topic_of=lambda name: name.removeprefix("p."), clock=clock)
    assert ages.oldest_s("LinkExpired") == 0
    queues[FIRST].submit([sent(clock, 0)])
    clock.pass_by(60)
    queues[FIRST].submit([sent(clock, 1)])
    clock.pass_by(240)
    assert ages.oldest_s("LinkExpired") == 300
    assert ages.oldest_s("LinkCreated") == 0
    processor.may_go_on.set()
    await asyncio.gather(*tasks)
    assert ages.oldest_s("LinkExpired") == 0


async def test_a_broker_that_stops_answering_for_one_partition_is_seen() -> None:
    clock, broker = Clock(), Broker()
    queues = {partition: queue_of(None, []) for partition in (FIRST, SECOND)}
    ages = ConsumerAges(queues, topic_of=str, clock=clock)
    kafka: Any = broker
    broker.answers = {FIRST: clock.ms, SECOND: clock.ms}
    clock.pass_by(90)
    broker.answers[FIRST] = clock.ms
    ages.listen(kafka, joined=True)
    assert ages.silent_s() == 90
    assert not is_answered(kafka, within_s=10, clock=clock)
    broker.answers[SECOND] = clock.ms
    ages.listen(kafka, joined=True)
    assert ages.silent_s() == 0
    assert is_answered(kafka, within_s=10, clock=clock)


async def test_silence_grows_without_a_session_and_not_for_a_paused_or_spare_consumer() -> None:
    clock, broker = Clock(), Broker()
    kafka: Any = broker
    queues: dict[TopicPartition, PartitionQueue] = {}
    ages = ConsumerAges(queues, topic_of=str, clock=clock)
    clock.pass_by(90)
    ages.listen(kafka, joined=False)
    assert ages.silent_s() == 90
    ages.listen(kafka, joined=True)  # it shares no partition
    assert ages.silent_s() == 0
    queues[FIRST] = queue_of(None, [])
    queues[FIRST].paused = True
    clock.pass_by(90)
    ages.listen(kafka, joined=True)
    assert ages.silent_s() == 0
