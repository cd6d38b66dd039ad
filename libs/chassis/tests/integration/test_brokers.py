"""Every broker of the run supports what the bus needs; the embedded one also has operations of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kappi_chassis.embedded.broker import BrokerUnavailable, EmbeddedBroker
from kappi_chassis.embedded.ports import accepts_tcp
from kappi_testkit.eventually import eventually
from kappi_testkit.plugin import BrokerUnderTest
from kappi_testkit.servers import kafka as kafka_server
from kappi_testkit.servers.kafka import KafkaServer

pytestmark = pytest.mark.integration

HOUR_S = 3_600.0
DEADLINE_S = 60.0


async def _produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"one", headers=[("ce_id", value)])
    finally:
        await producer.stop()


async def _until_a_fetch_waits(broker: EmbeddedBroker) -> None:
    def waits() -> None:
        assert broker.waiting_fetches == 1

    await eventually(waits)


def _consumer(bootstrap: str, topic: str, *, group: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
    )


async def test_records_are_consumed_in_order_with_their_headers(
    every_broker: BrokerUnderTest, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}UploadCompleted"
    await _produce(every_broker.bootstrap, topic, b"1", b"2", b"3")

    consumer = _consumer(every_broker.bootstrap, topic, group=f"{topic_prefix}media")
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in range(3)]
    finally:
        await consumer.stop()

    assert [record.value for record in records] == [b"1", b"2", b"3"]
    assert [record.headers for record in records] == [(("ce_id", value),) for value in (b"1", b"2", b"3")]
    assert len({record.partition for record in records}) == 1


async def test_a_group_continues_at_its_committed_offset(
    every_broker: BrokerUnderTest, topic_prefix: str
) -> None:
    topic, group = f"{topic_prefix}MediaReady", f"{topic_prefix}galleries"
    await _produce(every_broker.bootstrap, topic, b"seen", b"unseen")
    first = _consumer(every_broker.bootstrap, topic, group=group)
    await first.start()
    record = await first.getone()
    await first.commit({TopicPartition(topic, record.partition): record.offset + 1})
    await first.stop()

    second = _consumer(every_broker.bootstrap, topic, group=group)
    await second.start()
    try:
        assert (await second.getone()).value == b"unseen"
    finally:
        await second.stop()


async def test_a_first_assignment_does_not_wait_for_more_members(
    embedded_broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kappi_chassis.embedded.broker._FIRST_ASSIGNMENT_DELAY_MS", 3_000)
    topic = f"{topic_prefix}GalleryCreated"

    async def first_record(bootstrap: str) -> bytes:
        await _produce(bootstrap, topic, b"x")
        consumer = _consumer(bootstrap, topic, group=f"{topic_prefix}janitor")
        await consumer.start()
        try:
            value: bytes = (await consumer.getone()).value
            return value
        finally:
            await consumer.stop()

    with EmbeddedBroker() as waiting:
        usual, late = (
            asyncio.create_task(first_record(broker.bootstrap)) for broker in (embedded_broker, waiting)
        )
        done, _ = await asyncio.wait([usual, late], return_when=asyncio.FIRST_COMPLETED)
        assert done == {usual}
        assert await late == b"x"


async def test_a_topic_has_the_partitions_it_was_made_with(
    embedded_broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}JanitorTick"
    embedded_broker.create_topic(topic, partitions=7)
    embedded_broker.create_topic(topic, partitions=3)

    producer = AIOKafkaProducer(bootstrap_servers=embedded_broker.bootstrap)
    await producer.start()
    try:
        assert len(await producer.partitions_for(topic)) == 7
    finally:
        await producer.stop()


async def test_a_waiting_fetch_gets_a_record_that_arrives_meanwhile(
    topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kappi_chassis.embedded.broker_proxy._FIRST_WAIT_S", HOUR_S)
    topic = f"{topic_prefix}MediaReady"
    with EmbeddedBroker() as broker:
        broker.create_topic(topic, partitions=3)
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=round(HOUR_S * 1e3),
        )
        await consumer.start()
        try:
            for value in (b"1", b"2"):
                waiting = asyncio.create_task(consumer.getone())
                await _until_a_fetch_waits(broker)
                await _produce(broker.bootstrap, topic, value)
                async with asyncio.timeout(DEADLINE_S):
                    assert (await waiting).value == value
        finally:
            await consumer.stop()


async def test_a_waiting_fetch_holds_back_no_other_answer(
    topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kappi_chassis.embedded.broker_proxy._FIRST_WAIT_S", HOUR_S)
    topic = f"{topic_prefix}MediaReady"
    with EmbeddedBroker() as broker:
        broker.create_topic(topic, partitions=1)
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=broker.bootstrap, fetch_max_wait_ms=round(HOUR_S * 1e3)
        )
        await consumer.start()
        try:
            await _until_a_fetch_waits(broker)
            async with asyncio.timeout(DEADLINE_S):
                ends = await consumer.end_offsets([TopicPartition(topic, 0)])
            assert ends == {TopicPartition(topic, 0): 0}
        finally:
            await consumer.stop()


async def test_bytes_that_are_not_kafkas_end_only_their_connection(
    embedded_broker: EmbeddedBroker, topic_prefix: str
) -> None:
    host, _, port = embedded_broker.bootstrap.rpartition(":")
    for noise in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 64,
        b"\0\0\0\x02\0\0",
        b"\0\0\0\x0c\0\x01\0\x0b" + bytes(8),
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(noise)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
    await _produce(embedded_broker.bootstrap, f"{topic_prefix}MediaReady", b"works")


async def test_an_interrupted_broker_keeps_its_records(topic_prefix: str) -> None:
    topic = f"{topic_prefix}GalleryDeleted"
    with EmbeddedBroker() as broker:
        port = int(broker.bootstrap.rpartition(":")[2])
        await _produce(broker.bootstrap, topic, b"kept")

        def refuses() -> None:
            assert not accepts_tcp(port)

        broker.interrupt()
        await eventually(refuses)

        broker.resume()
        consumer = _consumer(broker.bootstrap, topic, group=f"{topic_prefix}media")
        await consumer.start()
        try:
            assert (await consumer.getone()).value == b"kept"
        finally:
            await consumer.stop()


def test_a_closed_broker_refuses_calls(capfd: pytest.CaptureFixture[str]) -> None:
    broker = EmbeddedBroker()
    port = int(broker.bootstrap.rpartition(":")[2])
    assert accepts_tcp(port)

    broker.close()
    broker.close()

    assert not accepts_tcp(port)
    with pytest.raises(BrokerUnavailable):
        broker.create_topic("late", partitions=1)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.skipif(
    not kafka_server.runnable(Path.cwd()), reason="Apache Kafka is not installed (make real-servers)"
)
async def test_apache_kafka_keeps_acknowledged_records_after_kill_9(
    tmp_path: Path, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}ObjectsPurged"
    server = KafkaServer(root=Path.cwd(), folder=tmp_path)
    server.start()
    try:
        await _produce(server.bootstrap, topic, b"acknowledged")
        server.kill()
        server.start()
        consumer = _consumer(server.bootstrap, topic, group=f"{topic_prefix}media")
        await consumer.start()
        try:
            assert (await consumer.getone()).value == b"acknowledged"
        finally:
            await consumer.stop()
    finally:
        server.stop()
