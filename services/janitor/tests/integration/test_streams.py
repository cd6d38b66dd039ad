"""The Faust app on every broker: when offsets move, what a failure stops, how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from kappi_chassis.bus import DeadLetters, KafkaConnection, Processor, Producer, Transient
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.clock import new_id
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.observability import metrics
from kappi_chassis.testing.background import Background
from kappi_chassis.testing.eventually import eventually
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryDeleted, JanitorTick
from kappi_janitor.app import Streams
from kappi_janitor.errors import StreamsNotReady, StreamsStopped

TOPICS = ("GalleryDeleted", "JanitorTick")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
START_S = 30.0


def deletion() -> GalleryDeleted:
    return GalleryDeleted(gallery_id=new_id(), owner_id=None, reason="requested", deleted_at=NOW)


def tick() -> JanitorTick:
    return JanitorTick(schedule="tests", at=NOW, origin="operator")


class Kafka:
    """A topic prefix of its own on one broker: sends events, reads the group's offsets."""

    def __init__(self, connection: KafkaConnection, producer: Producer) -> None:
        self.connection = connection
        self.producer = producer
        self.group = connection.prefix + "janitor"

    async def send(self, *events: Event) -> list[UUID]:
        ids = []
        for event in events:
            envelope = Envelope(id=new_id(), source="/tests", time=NOW, sequence=1, data=event)
            await self.send_raw(
                event.topic_name(), event.key().encode(), envelope.value(), envelope.headers()
            )
            ids.append(envelope.id)
        return ids

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        await self.producer.send(self.connection.topic(topic), key=key, value=value, headers=headers)

    async def committed(self, topic: str) -> int:
        """Records of the topic that its group need not see again."""
        return sum(await self._positions(topic, committed=True))

    async def _positions(self, topic: str, *, committed: bool) -> list[int]:
        consumer = AIOKafkaConsumer(
            **self.connection.client_options(), group_id=self.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            name = self.connection.topic(topic)
            await consumer._client.set_topics([name])  # its metadata, without subscribing
            numbers = consumer.partitions_for_topic(name) or set()
            return [await consumer.committed(TopicPartition(name, number)) or 0 for number in numbers]
        finally:
            await consumer.stop()

    def streams(
        self, handler: Callable[[Any], Awaitable[bool]], *, dead_letters: Any = None, on_gap: Any = None
    ) -> Streams:
        processor = Processor(
            group=self.group,
            handlers=dict.fromkeys(TOPICS, handler),
            dead_letters=dead_letters or DeadLetters(self.producer, self.connection),
        )
        return Streams(self.connection, processor, on_gap=on_gap)


@pytest.fixture
async def kafka(every_broker: Any, topic_prefix: str) -> AsyncIterator[Kafka]:
    connection = KafkaConnection(
        bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20, session_timeout_ms=6_000
    )
    producer = Producer(connection, source="/tests")
    kafka = Kafka(connection, producer)
    for topic in TOPICS:  # topics appear on first use
        await kafka.send_raw(topic, b"opens the topic", b"", (("ignored", b""),))
    yield kafka
    await producer.close()


@pytest.fixture
async def running() -> AsyncIterator[Background]:
    async with Background() as background:
        yield background


async def started(running: Background, streams: Streams) -> asyncio.Task[None]:
    task = running.start(streams.run())

    async def ready() -> None:
        if task.done():
            task.result()
        try:
            await streams.ready()
        except StreamsNotReady as error:
            raise AssertionError from error

    await eventually(ready, START_S)
    return task


class Seen:
    """A handler that notes what it saw; may be told to hold some keys, or to fail them."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []
        self.hold: dict[str, asyncio.Event] = {}
        self.failing: set[str] = set()
        self.attempts: dict[str, int] = defaultdict(int)

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        self.attempts[envelope.key] += 1
        if envelope.key in self.failing:
            raise Transient("not now")
        if envelope.key in self.hold:
            await self.hold[envelope.key].wait()
        self.ids.append(envelope.id)
        return True

    async def saw(self, ids: list[UUID], *, within_s: float = 20.0) -> None:
        def all_of_them() -> None:
            assert set(ids) <= set(self.ids)

        await eventually(all_of_them, within_s)


async def committed_becomes(kafka: Kafka, topic: str, expected: int) -> None:
    async def there() -> None:
        assert await kafka.committed(topic) == expected

    await eventually(there, 15.0)


async def test_the_offset_moves_once_the_record_is_sealed_and_not_before(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    await started(running, kafka.streams(seen))
    await committed_becomes(kafka, "GalleryDeleted", 1)  # the one that opened the topic is buried
    event = deletion()
    gate = seen.hold[event.key()] = asyncio.Event()
    ids = await kafka.send(event)
    # Another topic's offset moves meanwhile: commits happen, this one is left out.
    await kafka.send(tick())
    await committed_becomes(kafka, "JanitorTick", 2)
    assert await kafka.committed("GalleryDeleted") == 1
    gate.set()
    await seen.saw(ids)
    await committed_becomes(kafka, "GalleryDeleted", 2)


async def test_who_never_joins_is_seen_to_read_nothing(running: Background, away: Streams) -> None:
    metrics.CONSUMER_ASSIGNED.clear()
    running.start(away.run())

    def told() -> None:
        found = [sample.value for metric in metrics.CONSUMER_ASSIGNED.collect() for sample in metric.samples]
        assert found == [0]

    await eventually(told, 5.0)


@pytest.fixture
def away(kafka: Kafka) -> Streams:
    kafka.connection = KafkaConnection(bootstrap=f"127.0.0.1:{free_port()}", prefix=kafka.connection.prefix)
    return kafka.streams(Seen())


async def test_it_tells_how_far_behind_it_is(kafka: Kafka, running: Background) -> None:
    def lag() -> float:
        return sum(
            sample.value
            for metric in metrics.CONSUMER_LAG.collect()
            for sample in metric.samples
            if sample.labels["topic"] == "GalleryDeleted"
        )

    async def becomes(expected: int) -> None:
        def there() -> None:
            assert lag() == expected

        await eventually(there, 15.0)

    metrics.CONSUMER_LAG.clear()  # of the streams of other tests
    seen = Seen()
    await started(running, kafka.streams(seen))
    assert metrics.CONSUMER_ASSIGNED.labels(kafka.group)._value.get() >= len(TOPICS)
    events = [deletion() for _ in range(3)]
    gates = [seen.hold.setdefault(event.key(), asyncio.Event()) for event in events]
    await kafka.send(*events)
    await becomes(3)
    for gate in gates:
        gate.set()
    await becomes(0)


async def test_a_record_that_is_tried_again_holds_its_partition_only_and_keeps_the_membership(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    streams = kafka.streams(seen)
    await started(running, streams)
    assert streams._app is not None
    generation = streams._app.consumer_generation_id
    stuck = deletion()
    seen.failing.add(stuck.key())
    (stuck_id,) = await kafka.send(stuck)

    def tried() -> None:
        assert seen.attempts[stuck.key()] >= 1

    await eventually(tried)
    behind_it = await kafka.send(stuck)
    others = await kafka.send(*(deletion() for _ in range(20)), tick())

    def other_partitions_go_on() -> None:
        assert seen.attempts[stuck.key()] >= 4
        assert others[-1] in seen.ids
        assert set(others[:-1]) & set(seen.ids)

    await eventually(other_partitions_go_on)
    assert not {stuck_id, *behind_it} & set(seen.ids)
    assert streams._app.consumer_generation_id == generation
    seen.failing.clear()
    await seen.saw([stuck_id, *behind_it, *others])
    assert seen.ids.index(stuck_id) < seen.ids.index(behind_it[0]), "a key keeps its order"
    await committed_becomes(kafka, "GalleryDeleted", 23)


async def test_poison_goes_to_the_dead_letters_and_the_topic_goes_on(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    await started(running, kafka.streams(seen))
    await kafka.send_raw("GalleryDeleted", b"k", b"not JSON", (("ce_type", b"nonsense"),))
    await kafka.send_raw("GalleryDeleted", b"k", None)
    ids = await kafka.send(deletion())
    await seen.saw(ids)
    await committed_becomes(kafka, "GalleryDeleted", 4)
    async with DeadLetterAdmin(kafka.connection) as admin:
        letters = [letter async for letter in admin.letters() if "GalleryDeleted" in letter.topic]
    values = [letter.value for letter in letters]
    assert b"not JSON" in values
    assert None in values
    assert {letter.why("group") for letter in letters} == {kafka.group}


async def test_a_failed_burial_ends_the_app_and_skips_nothing(kafka: Kafka, running: Background) -> None:
    class NoGrave:
        async def send_to_dlq(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("the broker does not take it")

    seen = Seen()
    streams = kafka.streams(seen, dead_letters=NoGrave())
    with pytest.raises(StreamsStopped) as caught:
        await asyncio.wait_for(streams.run(), START_S)  # the record that opened the topic is poison
    assert "ExceptionGroup" in str(caught.value)
    ids = await kafka.send(deletion(), tick())
    assert await kafka.committed("GalleryDeleted") == 0
    healed = Seen()
    await started(running, kafka.streams(healed))
    await healed.saw(ids)
    await committed_becomes(kafka, "GalleryDeleted", 2)


async def test_stopping_takes_seconds_even_while_a_record_is_tried_again_and_that_record_comes_again(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    task = await started(running, kafka.streams(seen))
    await committed_becomes(kafka, "GalleryDeleted", 1)  # the one that opened the topic is buried
    done = await kafka.send(deletion())
    await seen.saw(done)
    stuck = deletion()
    seen.failing.add(stuck.key())
    pending = await kafka.send(stuck)

    def tried() -> None:
        assert seen.attempts[stuck.key()] >= 3

    await eventually(tried)
    async with asyncio.timeout(60):
        await running.stop(task)
    assert await kafka.committed("GalleryDeleted") == 2, "what was sealed is committed on the way out"
    again = Seen()
    await started(running, kafka.streams(again))
    await again.saw(pending)
    assert not set(done) & set(again.ids)


async def test_two_replicas_share_the_records_and_one_takes_over_from_the_other(
    kafka: Kafka, every_broker: Any, running: Background
) -> None:
    if every_broker.kind == "embedded":
        pytest.skip("the embedded broker cannot share a group's partitions between two members")
    first, second = Seen(), Seen()
    task = await started(running, kafka.streams(first))
    await started(running, kafka.streams(second))
    ids = await kafka.send(*(deletion() for _ in range(40)))

    def all_between_them() -> None:
        assert set(first.ids) | set(second.ids) >= set(ids)

    await eventually(all_between_them, 30.0)
    await running.stop(task)
    more = await kafka.send(*(deletion() for _ in range(20)))
    await second.saw(more, within_s=30.0)


async def test_records_the_broker_dropped_before_they_were_read_are_told(
    kafka: Kafka, running: Background
) -> None:
    told: list[str] = []

    async def on_gap(topic: str) -> None:
        told.append(topic)

    seen = Seen()
    streams = kafka.streams(seen, on_gap=on_gap)
    await started(running, streams)
    await committed_becomes(kafka, "GalleryDeleted", 1)
    assert streams._app is not None
    consumer: Any = streams._app.consumer
    expected = consumer._thread._expected
    for partition in expected:
        expected[partition] = -1  # as if the next record should have been an earlier one
    await seen.saw(await kafka.send(deletion()))
    assert told == ["GalleryDeleted"]


async def test_logging_and_signals_stay_ours(kafka: Kafka, running: Background) -> None:
    root = logging.getLogger()
    before = (
        list(root.handlers),
        root.level,
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    )
    seen = Seen()
    await started(running, kafka.streams(seen))
    await seen.saw(await kafka.send(tick()))
    after = (
        list(root.handlers),
        root.level,
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    )
    assert after == before


async def test_a_broker_that_is_away_for_a_while_ends_nothing(topic_prefix: str, running: Background) -> None:
    with EmbeddedBroker() as broker:
        connection = KafkaConnection(
            bootstrap=broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20, session_timeout_ms=6_000
        )
        for topic in TOPICS:
            broker.create_topic(connection.topic(topic), partitions=2)
        producer = Producer(connection, source="/tests")
        kafka = Kafka(connection, producer)
        seen = Seen()
        task = await started(running, kafka.streams(seen))
        event = deletion()
        gate = seen.hold[event.key()] = asyncio.Event()
        before = await kafka.send(event)

        def in_hand() -> None:
            assert seen.attempts[event.key()] == 1

        await eventually(in_hand)
        broker.interrupt()
        gate.set()  # sealed while the broker is away: its commit fails
        await seen.saw(before)
        await asyncio.wait([task], timeout=3.0)
        assert not task.done()
        broker.resume()
        after = await kafka.send(deletion(), tick())
        await seen.saw(after, within_s=40.0)

        async def all_committed() -> None:
            assert await kafka.committed("GalleryDeleted") == 2

        await eventually(all_committed, 20.0)
        await running.stop(task)
        await producer.close()


async def test_a_broker_that_is_not_there_yet_is_waited_for(topic_prefix: str, running: Background) -> None:
    with EmbeddedBroker() as broker:
        connection = KafkaConnection(
            bootstrap=broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20, session_timeout_ms=6_000
        )
        for topic in TOPICS:
            broker.create_topic(connection.topic(topic), partitions=2)
        broker.interrupt()
        producer = Producer(connection, source="/tests")
        kafka = Kafka(connection, producer)
        seen = Seen()
        streams = kafka.streams(seen)
        task = running.start(streams.run())
        await asyncio.wait([task], timeout=2.0)
        assert not task.done()
        broker.resume()
        await seen.saw(await kafka.send(deletion()), within_s=30.0)
        await running.stop(task)
        await producer.close()
