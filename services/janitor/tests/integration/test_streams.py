"""The ticks' Faust agent on every broker: when offsets move, what a failure stops, how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer, Transient
from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit
from kappi_chassis.bus.dead_letters import DeadLetterAdmin
from kappi_chassis.clock import new_id
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.ports import free_port
from kappi_chassis.observability import metrics
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import Event, GalleryDeleted, JanitorTick
from kappi_janitor.errors import StreamsNotReady, StreamsStopped
from kappi_janitor.streams.ticks import TOPIC, TickStream
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

NOW = datetime(2026, 5, 1, tzinfo=UTC)
START_S = 30.0


def deletion() -> GalleryDeleted:
    return GalleryDeleted(gallery_id=new_id(), owner_id=None, reason="requested", deleted_at=NOW)


def tick() -> JanitorTick:
    return JanitorTick(schedule=f"tests {new_id()}", at=NOW, origin="operator")


class Kafka:
    """A topic prefix of its own on one broker: sends events, reads the group's offsets."""

    def __init__(self, connection: KafkaConnection, producer: Producer) -> None:
        self.connection = connection
        self.producer = producer
        self.group = connection.prefix + "janitor-tick"

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

    async def committed(self) -> int:
        """Ticks that the group need not see again."""
        consumer = AIOKafkaConsumer(
            **self.connection.client_options(), group_id=self.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            name = self.connection.topic(TOPIC)
            await consumer._client.set_topics([name])  # its metadata, without subscribing
            numbers = consumer.partitions_for_topic(name) or set()
            return sum([await consumer.committed(TopicPartition(name, number)) or 0 for number in numbers])
        finally:
            await consumer.stop()

    def streams(
        self,
        handler: Callable[[Any], Awaitable[bool]],
        *,
        dead_letters: Any = None,
        on_gap: Any = None,
        most_letters: int = 0,
    ) -> TickStream:
        processor = Processor(
            group=self.group,
            handlers={TOPIC: handler},
            dead_letters=dead_letters or DeadLetters(self.producer, self.connection),
            limit=DeadLetterLimit(most_letters, within=timedelta(hours=1)),
        )
        return TickStream(self.connection, processor, on_gap=on_gap)


@asynccontextmanager
async def kafka_admin(connection: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection.client_options())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@pytest.fixture
async def kafka(every_broker: Any, topic_prefix: str, request: pytest.FixtureRequest) -> AsyncIterator[Kafka]:
    connection = KafkaConnection(
        bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20, session_timeout_ms=6_000
    )
    if every_broker.kind == "embedded":
        request.getfixturevalue("embedded_broker").create_topic(connection.topic(TOPIC), partitions=1)
    else:
        async with kafka_admin(connection) as admin:
            await admin.create_topics([NewTopic(connection.topic(TOPIC), 1, 1)])
    producer = Producer(connection, source="/tests")
    kafka = Kafka(connection, producer)
    await kafka.send_raw(TOPIC, b"k", b"", (("ignored", b""),))  # poison
    yield kafka
    await producer.close()


@pytest.fixture
async def running() -> AsyncIterator[Background]:
    async with Background() as background:
        yield background


async def started(running: Background, streams: TickStream) -> asyncio.Task[None]:
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


async def committed_becomes(kafka: Kafka, expected: int) -> None:
    async def there() -> None:
        assert await kafka.committed() == expected

    await eventually(there, 15.0)


async def test_the_offset_moves_once_the_tick_is_done_and_not_before(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    await started(running, kafka.streams(seen))
    await committed_becomes(kafka, 1)  # the first record is a dead letter
    first, second = tick(), tick()
    gate = seen.hold[second.key()] = asyncio.Event()
    ids = await kafka.send(first, second)
    await committed_becomes(kafka, 2)  # commits happen while the second tick is in work
    assert seen.attempts[second.key()] == 1
    gate.set()
    await seen.saw(ids)
    await committed_becomes(kafka, 3)


async def test_a_stream_that_never_joins_has_no_partitions(running: Background, away: TickStream) -> None:
    metrics.CONSUMER_ASSIGNED.clear()
    running.start(away.run())

    def present() -> None:
        found = [sample.value for metric in metrics.CONSUMER_ASSIGNED.collect() for sample in metric.samples]
        assert found == [0]

    await eventually(present, 5.0)


@pytest.fixture
def away(kafka: Kafka) -> TickStream:
    kafka.connection = KafkaConnection(bootstrap=f"127.0.0.1:{free_port()}", prefix=kafka.connection.prefix)
    return kafka.streams(Seen())


async def test_the_lag_is_a_metric(kafka: Kafka, running: Background) -> None:
    def lag() -> list[float]:
        return [
            sample.value
            for metric in metrics.CONSUMER_LAG.collect()
            for sample in metric.samples
            if sample.labels["topic"] == TOPIC
        ]

    async def becomes(expected: list[float]) -> None:
        def there() -> None:
            assert lag() == expected

        await eventually(there, 15.0)

    metrics.CONSUMER_LAG.clear()  # of the streams of other tests
    seen = Seen()
    task = await started(running, kafka.streams(seen))
    await committed_becomes(kafka, 1)
    assert metrics.CONSUMER_ASSIGNED.labels(kafka.group)._value.get() >= 1
    events = [tick() for _ in range(3)]
    gates = [seen.hold.setdefault(event.key(), asyncio.Event()) for event in events]
    await kafka.send(*events)
    await becomes([3])
    for gate in gates:
        gate.set()
    await becomes([0])
    await running.stop(task)
    assert lag() == []
    assert metrics.CONSUMER_ASSIGNED.labels(kafka.group)._value.get() == 0


async def test_a_tick_that_is_tried_again_keeps_its_order_and_the_membership_and_stalls_no_other_topic(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    streams = kafka.streams(seen)
    await started(running, streams)
    other_events = Processor(
        group=kafka.connection.prefix + "janitor",
        handlers={"GalleryDeleted": seen},
        dead_letters=DeadLetters(kafka.producer, kafka.connection),
    )
    running.start(Consumer(kafka.connection, other_events).run())
    assert streams._app is not None
    generation = streams._app.consumer_generation_id
    stuck = tick()
    seen.failing.add(stuck.key())
    (stuck_id,) = await kafka.send(stuck)

    def tried() -> None:
        assert seen.attempts[stuck.key()] >= 1

    await eventually(tried)
    behind_it = await kafka.send(tick(), tick())
    await seen.saw(await kafka.send(*(deletion() for _ in range(20))))

    def tried_again() -> None:
        assert seen.attempts[stuck.key()] >= 4

    await eventually(tried_again)
    assert not {stuck_id, *behind_it} & set(seen.ids)
    assert streams._app.consumer_generation_id == generation
    seen.failing.clear()
    await seen.saw([stuck_id, *behind_it])
    assert [each for each in seen.ids if each in {stuck_id, *behind_it}] == [stuck_id, *behind_it]
    await committed_becomes(kafka, 4)


async def test_poison_and_bugs_go_to_the_dead_letters_and_the_ticks_go_on(
    kafka: Kafka, running: Background
) -> None:
    class Buggy(Seen):
        async def __call__(self, envelope: Envelope[Any]) -> bool:
            if envelope.key == bug.key():
                raise KeyError("a bug")
            return await super().__call__(envelope)

    seen, bug = Buggy(), tick()
    await started(running, kafka.streams(seen))
    await kafka.send_raw(TOPIC, b"k", b"not JSON", (("ce_type", b"nonsense"),))
    await kafka.send_raw(TOPIC, b"k", None)
    _, last = await kafka.send(bug, tick())
    await seen.saw([last])
    await committed_becomes(kafka, 5)
    async with DeadLetterAdmin(kafka.connection) as admin:
        letters = [letter async for letter in admin.letters() if TOPIC in letter.topic]
    values = [letter.value for letter in letters]
    assert b"not JSON" in values
    assert None in values
    assert len(values) == 4, "and the first record"
    assert {letter.why("group") for letter in letters} == {kafka.group}


async def test_a_failed_dead_letter_ends_the_stream_and_skips_nothing(
    kafka: Kafka, running: Background
) -> None:
    class NoDeadLetters:
        async def send_to_dlq(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("the broker does not take it")

    streams = kafka.streams(Seen(), dead_letters=NoDeadLetters())
    with pytest.raises(StreamsStopped) as caught:
        await asyncio.wait_for(streams.run(), START_S)  # the first record is poison
    assert "the broker does not take it" in str(caught.value)
    ids = await kafka.send(tick())
    assert await kafka.committed() == 0
    healed = Seen()
    await started(running, kafka.streams(healed))
    await healed.saw(ids)
    await committed_becomes(kafka, 2)


async def test_after_too_many_dead_letters_the_stream_stops_and_loses_no_tick(
    kafka: Kafka, running: Background
) -> None:
    for _ in range(3):
        await kafka.send_raw(TOPIC, b"k", b"not JSON")
    streams = kafka.streams(Seen(), most_letters=2)
    running.start(streams.run())

    def stopped() -> None:
        assert metrics.CONSUMER_STOPPED.labels(kafka.group)._value.get() == 1

    await eventually(stopped, deadline_s=START_S)
    with pytest.raises(StreamsNotReady):
        await streams.ready()
    assert await kafka.committed() <= 2
    ids = await kafka.send(tick())
    healed = Seen()
    await started(running, kafka.streams(healed))
    await healed.saw(ids)


async def test_stopping_takes_seconds_while_a_tick_is_tried_again_and_that_tick_comes_again(
    kafka: Kafka, running: Background
) -> None:
    seen = Seen()
    task = await started(running, kafka.streams(seen))
    done = await kafka.send(tick())
    await seen.saw(done)
    stuck = tick()
    seen.failing.add(stuck.key())
    pending = await kafka.send(stuck)

    def tried() -> None:
        assert seen.attempts[stuck.key()] >= 3

    await eventually(tried)
    async with asyncio.timeout(60):
        await running.stop(task)
    assert await kafka.committed() == 2, "what was done is committed on the way out"
    again = Seen()
    await started(running, kafka.streams(again))
    await again.saw(pending)
    assert not set(done) & set(again.ids)


async def test_a_rebalance_waits_for_no_tick_and_the_other_replica_takes_over(
    kafka: Kafka, every_broker: Any, running: Background
) -> None:
    if every_broker.kind == "embedded":
        pytest.skip("the embedded broker cannot share a group's partitions between two members")
    replicas = [Seen(), Seen()]
    held = tick()
    gates = [seen.hold.setdefault(held.key(), asyncio.Event()) for seen in replicas]
    tasks = [await started(running, kafka.streams(replicas[0]))]
    (held_id,) = await kafka.send(held)

    def in_work() -> None:
        assert replicas[0].attempts[held.key()] == 1

    await eventually(in_work, 20.0)
    # Ready, though the topic may have fewer partitions than the group has members.
    tasks.append(await started(running, kafka.streams(replicas[1])))
    for gate in gates:
        gate.set()
    ids = await kafka.send(*(tick() for _ in range(10)))

    def all_between_them() -> None:
        assert set(replicas[0].ids) | set(replicas[1].ids) >= {held_id, *ids}

    await eventually(all_between_them, 30.0)
    await running.stop(tasks[0])
    more = await kafka.send(*(tick() for _ in range(5)))
    await replicas[1].saw(more, within_s=30.0)


async def test_ticks_the_broker_dropped_before_they_were_read_are_reported(
    kafka: Kafka, every_broker: Any, running: Background
) -> None:
    reported: list[str] = []

    async def on_gap(topic: str) -> None:
        reported.append(topic)

    if every_broker.kind == "embedded":  # it keeps 5 MB of a partition
        for _ in range(14):
            await kafka.send_raw(TOPIC, b"k", bytes(900_000))
    else:
        await delete_all_records(kafka)
    seen = Seen()
    await started(running, kafka.streams(seen, on_gap=on_gap))
    await seen.saw(await kafka.send(tick()))
    assert set(reported) == {TOPIC}


async def delete_all_records(kafka: Kafka) -> None:
    async with kafka_admin(kafka.connection) as admin:
        partition = TopicPartition(kafka.connection.topic(TOPIC), 0)
        await admin.delete_records({partition: RecordsToDelete(before_offset=-1)})


async def test_a_gap_between_two_ticks_is_reported_and_a_hole_alone_is_not(
    kafka: Kafka, running: Background
) -> None:
    reported: list[str] = []

    async def on_gap(topic: str) -> None:
        reported.append(topic)

    seen = Seen()
    streams = kafka.streams(seen, on_gap=on_gap)
    await started(running, streams)
    await committed_becomes(kafka, 1)
    (partition,) = streams._expected
    streams._expected[partition] = 0  # as after a hole; the record at 0 is still there
    await seen.saw(await kafka.send(tick()))
    assert reported == []
    streams._expected[partition] = -1  # as if a record before the first one had been dropped
    await seen.saw(await kafka.send(tick()))
    assert reported == [TOPIC]


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
        broker.create_topic(connection.topic(TOPIC), partitions=1)
        producer = Producer(connection, source="/tests")
        kafka = Kafka(connection, producer)
        seen = Seen()
        task = await started(running, kafka.streams(seen))
        event = tick()
        gate = seen.hold[event.key()] = asyncio.Event()
        before = await kafka.send(event)

        def in_hand() -> None:
            assert seen.attempts[event.key()] == 1

        await eventually(in_hand)
        broker.interrupt()
        gate.set()  # done while the broker is away: its commit fails
        await seen.saw(before)
        await asyncio.wait([task], timeout=3.0)
        assert not task.done()
        broker.resume()
        await seen.saw(await kafka.send(tick()), within_s=40.0)
        await committed_becomes(kafka, 2)
        await running.stop(task)
        await producer.close()


async def test_a_broker_that_is_not_there_yet_is_waited_for(topic_prefix: str, running: Background) -> None:
    with EmbeddedBroker() as broker:
        connection = KafkaConnection(
            bootstrap=broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20, session_timeout_ms=6_000
        )
        broker.create_topic(connection.topic(TOPIC), partitions=1)
        broker.interrupt()
        producer = Producer(connection, source="/tests")
        kafka = Kafka(connection, producer)
        seen = Seen()
        streams = kafka.streams(seen)
        task = running.start(streams.run())
        await asyncio.wait([task], timeout=2.0)
        assert not task.done()
        broker.resume()
        await seen.saw(await kafka.send(tick()), within_s=30.0)
        await running.stop(task)
        await producer.close()
