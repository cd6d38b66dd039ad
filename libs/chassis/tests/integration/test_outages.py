"""Outages of brokers and connections, and events that no broker accepts."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.observability import metrics
from kappi_chassis.outbox import EventRefused, Outbox, Relay
from kappi_chassis.outbox.relay import RELAY_LOCK
from kappi_contracts.events import GalleryDeleted
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

TOPIC = "GalleryDeleted"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        broker.create_topic(TOPIC, partitions=1)
        yield broker


@pytest.fixture
def bootstrap(broker: EmbeddedBroker) -> KafkaConnection:
    return KafkaConnection(bootstrap=broker.bootstrap, fetch_max_wait_ms=20)


@pytest.fixture
async def sender(bootstrap: KafkaConnection) -> AsyncIterator[Producer]:
    sender = Producer(bootstrap, source="/tests")
    yield sender
    await sender.close()


@pytest.fixture
def no_asyncio_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test if asyncio logs a complaint about its remains, such as a task that was never awaited."""
    yield
    gc.collect()
    assert [entry.getMessage() for entry in caplog.records if entry.name == "asyncio"] == []


async def values_on_topic(bootstrap: KafkaConnection, *, until: bytes) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        TOPIC, **bootstrap.client_options(), auto_offset_reset="earliest", fetch_max_wait_ms=20
    )
    await consumer.start()
    found: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while until not in found:
                found.append((await consumer.getone()).value)
    finally:
        await consumer.stop()
    return found


async def send(sender: Producer, value: bytes) -> None:
    await sender.send(TOPIC, key=b"k", value=value, headers=())


def event() -> GalleryDeleted:
    return GalleryDeleted(gallery_id=uuid4(), owner_id=None, reason="requested", deleted_at=datetime.now(UTC))


async def publish(outbox: Outbox) -> None:
    async with outbox.begin() as unit:
        await unit.publish(event(), sequence=1)


async def unsent(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"))
    finally:
        await connection.close()


@pytest.mark.usefixtures("no_asyncio_complaints")
async def test_a_record_that_was_given_up_is_not_sent_later(
    broker: EmbeddedBroker, bootstrap: KafkaConnection, sender: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer replaced during an outage must not deliver its leftovers after the next one has started."""
    await send(sender, b"first")
    broker.interrupt()
    with monkeypatch.context() as impatient:
        impatient.setattr("kappi_chassis.bus.producer.DELIVERY_TIMEOUT_S", 1.0)
        with pytest.raises((KafkaConnectionError, TimeoutError)):
            await send(sender, b"given up")
    broker.resume()
    await send(sender, b"second")
    # A leftover would arrive once its sender has noticed that the broker is back.
    for number in range(10):
        await asyncio.sleep(0.1)
        await send(sender, b"later %d" % number)
    await send(sender, b"last")
    found = await values_on_topic(bootstrap, until=b"last")
    assert found == [b"first", b"second", *(b"later %d" % number for number in range(10)), b"last"]


@pytest.mark.usefixtures("no_asyncio_complaints")
async def test_a_cancelled_send_leaves_no_task(broker: EmbeddedBroker, bootstrap: KafkaConnection) -> None:
    sender = Producer(bootstrap, source="/tests")
    await send(sender, b"first")
    broker.interrupt()
    sending = asyncio.create_task(send(sender, b"second"))
    _, pending = await asyncio.wait([sending], timeout=0.3)
    assert pending
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    async with asyncio.timeout(10):
        await sender.close()


@pytest.mark.usefixtures("no_asyncio_complaints")
async def test_an_unreachable_broker_at_start_is_logged_and_retried(
    broker: EmbeddedBroker, sender: Producer
) -> None:
    broker.interrupt()
    with pytest.raises(KafkaConnectionError):
        await send(sender, b"first")
    broker.resume()
    await send(sender, b"first")


@pytest.mark.usefixtures("no_asyncio_complaints")
async def test_a_too_large_event_does_not_stop_others(sender: Producer) -> None:
    def row(payload: bytes) -> dict[str, Any]:
        return {
            "event_id": uuid4(),
            "topic": TOPIC,
            "type": "t",
            "key": "k",
            "sequence": 1,
            "payload": payload,
            "traceparent": None,
            "occurred_at": datetime.now(UTC),
        }

    outcomes = await sender.send_batch([row(b"a"), row(bytes(2 << 20)), row(b"b")])
    assert [type(outcome) for outcome in outcomes] == [type(None), EventRefused, type(None)]


async def test_an_event_that_no_broker_accepts_is_parked_and_others_are_sent(
    url: str, outbox: Outbox, sender: Producer, running: Background
) -> None:
    parked = metrics.OUTBOX_PARKED.labels(TOPIC)
    before = parked._value.get()
    await publish(outbox)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE outbox SET payload = $1", bytes(2 << 20))
    # A later event of the same aggregate, and others.
    await connection.execute(
        "INSERT INTO outbox (event_id, topic, type, key, sequence, payload)"
        " SELECT gen_random_uuid(), topic, type, key, 2, '{}' FROM outbox"
    )
    await publish(outbox)
    running.start(Relay(url, sender).run())

    async def flowed() -> None:
        assert await unsent(url) == 0

    await eventually(flowed, deadline_s=20)
    rows = await connection.fetch("SELECT sent_at = 'infinity' AS parked FROM outbox ORDER BY id")
    await connection.close()
    assert [row["parked"] for row in rows] == [True, False, False]
    assert parked._value.get() == before + 1


async def test_waiting_events_are_sent_after_an_outage(
    url: str, outbox: Outbox, broker: EmbeddedBroker, sender: Producer, running: Background
) -> None:
    broker.interrupt()
    running.start(Relay(url, sender).run())
    for _ in range(3):
        await publish(outbox)

    def counted() -> None:
        assert metrics.OUTBOX_PENDING._value.get() == 3

    await eventually(counted, deadline_s=20)
    broker.resume()

    async def flowed() -> None:
        assert await unsent(url) == 0

    await eventually(flowed, deadline_s=20)


async def test_a_relay_continues_after_its_connection_died(
    url: str, outbox: Outbox, sender: Producer, running: Background
) -> None:
    running.start(Relay(url, sender).run())
    await publish(outbox)

    async def flowed() -> None:
        assert await unsent(url) == 0

    await eventually(flowed, deadline_s=20)
    connection = await asyncpg.connect(url)
    ended = await connection.fetchval(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    await connection.close()
    assert ended
    await publish(outbox)
    await eventually(flowed, deadline_s=20)


async def test_unsent_events_are_counted(url: str, outbox: Outbox, running: Background) -> None:
    class Away:
        async def send_batch(self, rows: Any) -> list[BaseException | None]:
            return [OSError("away")] * len(rows)

    await publish(outbox)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO outbox (event_id, topic, type, key, sequence, payload)"
        " SELECT gen_random_uuid(), topic, type, key, n, payload FROM outbox, generate_series(2, 1200) n"
    )
    await connection.close()
    running.start(Relay(url, Away()).run())

    def counted() -> None:
        assert metrics.OUTBOX_PENDING._value.get() == 1200
        assert metrics.OUTBOX_OLDEST_SECONDS._value.get() > 0

    await eventually(counted)


async def test_a_standby_relay_reports_the_events_that_a_stuck_relay_does_not_send(
    url: str, outbox: Outbox, sender: Producer, running: Background
) -> None:
    holder = await asyncpg.connect(url)
    await holder.execute("SELECT pg_advisory_lock($1)", RELAY_LOCK)
    metrics.OUTBOX_OLDEST_SECONDS.set(0)
    await publish(outbox)
    running.start(Relay(url, sender).run())

    def is_reported() -> None:
        assert metrics.OUTBOX_OLDEST_SECONDS._value.get() > 0

    try:
        await eventually(is_reported)
    finally:
        await holder.close()


async def test_a_commit_wakes_the_relay_of_its_own_process(
    url: str, outbox: Outbox, sender: Producer, running: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No NOTIFY is sent here, and the polling interval is too long to matter."""
    monkeypatch.setattr("kappi_chassis.outbox.relay.POLL_FLOOR_S", 3600.0)
    relay = Relay(url, sender)
    assert not relay.nudge()
    outbox.relayed_by(relay.nudge)
    running.start(relay.run())

    def works() -> None:
        assert relay.nudge()

    await eventually(works)
    await publish(outbox)

    async def flowed() -> None:
        assert await unsent(url) == 0

    await eventually(flowed)
