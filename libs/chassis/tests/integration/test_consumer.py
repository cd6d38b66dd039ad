"""The life cycle of a consumer: rebalances, outages, failures, gaps, and its end."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.bus.consumer import ConsumerStuck
from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.bus.processor import Poison, Record
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.observability import metrics
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from prometheus_client import Gauge
from structlog.testing import capture_logs

TOPIC = "GalleryDeleted"
PARTITIONS = 4
GROUP = "tests"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC, partitions=PARTITIONS)
        yield broker


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> KafkaConnection:
    return KafkaConnection(bootstrap=broker.bootstrap, fetch_max_wait_ms=20, session_timeout_ms=6_000)


@pytest.fixture
async def sender(kafka: KafkaConnection) -> AsyncIterator[Producer]:
    sender = Producer(kafka, source="/tests")
    yield sender
    await sender.close()


Maker = Callable[..., Consumer]


@pytest.fixture
def make(kafka: KafkaConnection, sender: Producer) -> Maker:
    return maker(kafka, sender)


def maker(kafka: KafkaConnection, sender: Producer) -> Maker:
    def make(
        handler: Any,
        *,
        dead_letters: Any = None,
        concurrency: int = 8,
        on_gap: Any = None,
        most_letters: int = 0,
    ) -> Consumer:
        processor = Processor(
            group=kafka.topic(GROUP),
            handlers={TOPIC: handler},
            dead_letters=dead_letters or DeadLetters(sender, kafka),
            limit=DeadLetterLimit(most_letters, within=timedelta(hours=1)),
        )
        return Consumer(kafka, processor, concurrency=concurrency, on_gap=on_gap)

    return make


async def publish(
    sender: Producer, count: int, *, first: int = 1, key: str | None = None, topic: str = TOPIC
) -> None:
    """Publishes events numbered by `sequence`, each under its own key unless one is given."""
    for number in range(first, first + count):
        event = GalleryDeleted(
            gallery_id=uuid4(), owner_id=None, reason="requested", deleted_at=datetime.now(UTC)
        )
        envelope = Envelope(id=uuid4(), source="/tests", time=datetime.now(UTC), sequence=number, data=event)
        await sender.send(
            topic,
            key=(key or envelope.key).encode(),
            value=envelope.value(),
            headers=envelope.headers(),
        )


async def committed(kafka: KafkaConnection) -> int:
    """Returns the number of records that the group has finished, over all partitions."""
    reader = AIOKafkaConsumer(**kafka.client_options(), group_id=kafka.topic(GROUP), enable_auto_commit=False)
    await reader.start()
    try:
        offsets = [
            await reader.committed(TopicPartition(kafka.topic(TOPIC), number)) for number in range(PARTITIONS)
        ]
    finally:
        await reader.stop()
    return sum(offset or 0 for offset in offsets)


class Seen:
    def __init__(self, *, pause_s: float = 0.0) -> None:
        self.sequences: Counter[int] = Counter()
        self._pause_s = pause_s

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        await asyncio.sleep(self._pause_s)
        self.sequences[envelope.sequence] += 1
        return True


async def test_a_consumer_reports_that_a_silent_broker_sends_nothing(
    sender: Producer, running: Background
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    nowhere = KafkaConnection(bootstrap=f"127.0.0.1:{silent.getsockname()[1]}", prefix=f"t{uuid4().hex}.")
    consumer = maker(nowhere, sender)(Seen())
    running.start(consumer.run())

    def reported() -> None:
        groups = [
            sample.labels["group"]
            for metric in metrics.CONSUMER_ASSIGNED.collect()
            for sample in metric.samples
            if sample.value == 0
        ]
        assert nowhere.topic(GROUP) in groups

    with silent:
        await eventually(reported, deadline_s=5)


async def test_no_record_is_skipped_when_members_join_and_leave(
    every_broker: BrokerUnderTest, topic_prefix: str, running: Background
) -> None:
    """Two rebalances while queues are busy: every record is handled, and is committed only then."""
    if every_broker.kind == "embedded":
        pytest.skip("the in-process broker refuses a member that syncs after the group's leader")
    kafka = KafkaConnection(
        bootstrap=every_broker.bootstrap,
        prefix=topic_prefix,
        fetch_max_wait_ms=20,
        session_timeout_ms=6_000,
    )
    sender, topic = Producer(kafka, source="/tests"), kafka.topic(TOPIC)
    make = maker(kafka, sender)
    seen, others = Seen(pause_s=0.01), Seen(pause_s=0.01)
    first = make(seen)
    await publish(sender, 100, topic=topic)
    running.start(first.run())
    second = make(others)
    joined = running.start(second.run())
    await publish(sender, 100, first=101, topic=topic)

    async def shared() -> None:
        assert second.assigned
        assert first.assigned

    await eventually(shared, deadline_s=30)
    await publish(sender, 50, first=201, topic=topic)
    await running.stop(joined)
    await publish(sender, 50, first=251, topic=topic)

    async def all_done() -> None:
        assert set(seen.sequences + others.sequences) == set(range(1, 301))
        assert await committed(kafka) == 300

    await eventually(all_done, deadline_s=60)
    await sender.close()


async def test_an_offset_is_never_committed_beyond_the_processed_records(
    kafka: KafkaConnection, sender: Producer, make: Maker, running: Background
) -> None:
    seen, release = Seen(), asyncio.Event()

    async def holds_the_first(envelope: Envelope[Any]) -> bool:
        if envelope.sequence == 1:
            await release.wait()
        return await seen(envelope)

    consumer = running.start(make(holds_the_first).run())
    await publish(sender, 1, key="slow")
    await publish(sender, 30, first=2)

    def others_flow() -> None:
        assert len(seen.sequences) == 30

    await eventually(others_flow, deadline_s=30)
    await running.stop(consumer)
    release.set()
    again = Seen()
    running.start(make(again).run())

    async def done() -> None:
        assert 1 in again.sequences
        assert await committed(kafka) == 31

    await eventually(done, deadline_s=30)


async def test_a_consumer_continues_after_a_broker_outage(
    broker: EmbeddedBroker, kafka: KafkaConnection, sender: Producer, make: Maker, running: Background
) -> None:
    seen = Seen()
    consumer = make(seen)
    broker.interrupt()
    running.start(consumer.run())  # unreachable at the start
    with pytest.raises(ConsumerStuck):
        await consumer.ready()
    broker.resume()
    await publish(sender, 5)

    async def arrived(count: int) -> None:
        assert len(seen.sequences) == count
        await consumer.ready()

    await eventually(lambda: arrived(5), deadline_s=30)
    broker.interrupt()  # and later
    await asyncio.sleep(0.5)
    broker.resume()
    await publish(sender, 5, first=6)
    await eventually(lambda: arrived(10), deadline_s=60)


async def test_a_consumer_stops_in_bounded_time_during_a_broker_outage(
    broker: EmbeddedBroker, sender: Producer, make: Maker
) -> None:
    begun = asyncio.Event()

    async def hangs(_: Envelope[Any]) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    running = asyncio.create_task(make(hangs).run())
    await publish(sender, 1)
    async with asyncio.timeout(30):
        await begun.wait()
    broker.interrupt()
    running.cancel()
    ended, _ = await asyncio.wait([running], timeout=60)
    assert ended
    assert running.cancelled()


async def test_a_queue_that_fails_ends_the_consumer_at_once(
    broker: EmbeddedBroker, sender: Producer, make: Maker
) -> None:
    """The consumer does not wait for the broker's answer to the poll."""
    release = asyncio.Event()

    class FailingDeadLetters:
        async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
            await release.wait()
            raise RuntimeError("no dead letters")

    consumer = make(Seen(), dead_letters=FailingDeadLetters())
    running = asyncio.create_task(consumer.run())
    await sender.send(TOPIC, key=b"k", value=b"not json", headers=())

    def taken() -> None:
        assert any(queue.behind(1) for queue in consumer._queues.values())

    await eventually(taken, deadline_s=30)
    broker.interrupt()
    await asyncio.sleep(0.3)
    release.set()
    async with asyncio.timeout(15):
        with pytest.raises(ExceptionGroup) as failure:
            await running
    assert failure.group_contains(RuntimeError, match="no dead letters")


async def test_after_too_many_dead_letters_the_consumer_stops_and_loses_no_record(
    kafka: KafkaConnection, sender: Producer, make: Maker, running: Background
) -> None:
    """A faulty release refuses every event; its successor handles all but those in the dead letters."""

    async def faulty(_: Envelope[Any]) -> bool:
        raise Poison("a fault of this release")

    consumer = make(faulty, most_letters=5)
    with capture_logs() as logs:
        running.start(consumer.run())
        await publish(sender, 40)

        def stopped() -> None:
            assert metrics.CONSUMER_STOPPED.labels(GROUP)._value.get() == 1

        await eventually(stopped, deadline_s=30)
    with pytest.raises(ConsumerStuck, match="5 records became dead letters"):
        await consumer.ready()
    assert not consumer.assigned
    assert [line["log_level"] for line in logs if line["event"] == "consumer.stopped"] == ["critical"]

    async with DeadLetterAdmin(kafka) as admin:
        assert len([letter async for letter in admin.letters()]) == 5
    assert await committed(kafka) <= 5

    mended = Seen()
    running.start(make(mended).run())

    async def handled() -> None:
        assert await committed(kafka) == 40

    await eventually(handled, deadline_s=30)
    # A letter whose offset was held back by another record comes once more.
    assert 35 <= len(mended.sequences) <= 40
    async with DeadLetterAdmin(kafka) as admin:
        assert (await admin.replay(sender)).done == 5

    def all_handled() -> None:
        assert set(mended.sequences) == set(range(1, 41))

    await eventually(all_handled, deadline_s=30)


def age(gauge: Gauge) -> float:
    """Returns the age that a gauge of this group computes when it is read."""
    [value] = [
        sample.value
        for metric in gauge.collect()
        for sample in metric.samples
        if sample.labels["group"] == GROUP
    ]
    return value


async def test_lag_and_assigned_partitions_are_metrics(
    kafka: KafkaConnection, sender: Producer, make: Maker, running: Background
) -> None:
    release = asyncio.Event()

    async def waits(_: Envelope[Any]) -> bool:
        await release.wait()
        return True

    def lag() -> float:
        return sum(
            sample.value
            for metric in metrics.CONSUMER_LAG.collect()
            for sample in metric.samples
            if sample.labels["topic"] == TOPIC
        )

    running.start(make(waits).run())
    await publish(sender, 12)

    def behind() -> None:
        assert lag() == 12
        assert metrics.CONSUMER_ASSIGNED.labels(GROUP)._value.get() == PARTITIONS
        assert age(metrics.CONSUMER_OLDEST_SECONDS) > 0
        assert age(metrics.CONSUMER_SILENT_SECONDS) < 30

    await eventually(behind, deadline_s=30)
    release.set()

    def caught_up() -> None:
        assert lag() == 0
        assert age(metrics.CONSUMER_OLDEST_SECONDS) == 0

    await eventually(caught_up, deadline_s=30)


async def test_records_that_the_broker_dropped_are_reported(
    sender: Producer, make: Maker, running: Background
) -> None:
    """The in-process broker keeps 5 MB of a partition; the first records of this group are dropped."""
    reported: list[str] = []

    async def on_gap(topic: str) -> None:
        reported.append(topic)

    for _ in range(14):
        await sender.send(TOPIC, key=b"k", value=bytes(900_000), headers=())

    class DeadLettersOfTest:
        async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
            """Drops the records, which are not events."""

    running.start(make(Seen(), dead_letters=DeadLettersOfTest(), on_gap=on_gap).run())

    def noticed() -> None:
        assert reported == [TOPIC]

    await eventually(noticed, deadline_s=30)


async def test_missing_offsets_alone_are_no_gap(sender: Producer, make: Maker, running: Background) -> None:
    """Transactions and compaction leave holes; so does a rebalance whose first batch begins later."""
    reported: list[str] = []

    async def on_gap(topic: str) -> None:
        reported.append(topic)

    seen = Seen()
    consumer = make(seen, on_gap=on_gap)
    running.start(consumer.run())
    await publish(sender, 3, key="k")

    def arrived(count: int) -> None:
        assert len(seen.sequences) == count

    await eventually(lambda: arrived(3), deadline_s=30)
    for partition in consumer._expected:
        consumer._expected[partition] = 1
    await publish(sender, 1, first=4, key="k")
    await eventually(lambda: arrived(4), deadline_s=30)
    await eventually(lambda: _idle(consumer), deadline_s=30)
    assert reported == []


def _idle(consumer: Consumer) -> None:
    assert len(consumer._asides) == 1  # the committing one; no task examines a gap any more


async def test_a_partition_with_too_many_open_records_is_paused_and_resumed(
    sender: Producer, make: Maker, running: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kappi_chassis.bus.partition_queue.DEPTH", 10)
    seen, release = Seen(), asyncio.Event()

    async def waits(envelope: Envelope[Any]) -> bool:
        await release.wait()
        return await seen(envelope)

    consumer = make(waits)
    running.start(consumer.run())
    await publish(sender, 60, key="k")

    def paused() -> None:
        assert any(queue.paused for queue in consumer._queues.values())

    await eventually(paused, deadline_s=30)
    release.set()
    await publish(sender, 60, first=61, key="k")

    def all_seen() -> None:
        assert set(seen.sequences) == set(range(1, 121))

    await eventually(all_seen, deadline_s=30)
