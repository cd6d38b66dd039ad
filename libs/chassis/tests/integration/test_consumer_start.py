"""A consumer that starts before its broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kappi_chassis.bus import Consumer, KafkaConnection, Processor, Producer
from kappi_chassis.clock import new_id
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick
from kappi_testkit.background import Background
from kappi_testkit.eventually import eventually

pytestmark = pytest.mark.integration


class NoDeadLetters:
    async def send_to_dlq(self, record: Any, *, group: str, error: BaseException) -> None:
        raise AssertionError("nothing here is poison")


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        broker.interrupt()
        yield broker


@pytest.fixture
def connection(broker: EmbeddedBroker) -> KafkaConnection:
    return KafkaConnection(bootstrap=broker.bootstrap, fetch_max_wait_ms=20)


@pytest.fixture
def seen() -> list[Envelope[Any]]:
    return []


@pytest.fixture
def consumer(connection: KafkaConnection, seen: list[Envelope[Any]]) -> Consumer:
    async def handle(envelope: Envelope[Any]) -> bool:
        seen.append(envelope)
        return True

    processor = Processor(group="early", handlers={"JanitorTick": handle}, dead_letters=NoDeadLetters())
    return Consumer(connection, processor)


@pytest.fixture
def tried(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    def check() -> None:
        assert "consumer.lost_broker" in caplog.text + capsys.readouterr().out

    return check


async def test_a_consumer_waits_for_its_broker(
    broker: EmbeddedBroker, connection: KafkaConnection, consumer: Consumer, seen: list[Any], tried: Any
) -> None:
    async with Background() as running:
        task = running.start(consumer.run())
        await eventually(tried)
        assert not task.done()

        broker.resume()
        await _send_tick(connection)

        async def delivered() -> None:
            assert len(seen) == 1

        await eventually(delivered, 30)


async def test_waiting_can_be_cancelled(consumer: Consumer, tried: Any) -> None:
    task = asyncio.create_task(consumer.run())
    await eventually(tried)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def _send_tick(connection: KafkaConnection) -> None:
    tick = JanitorTick(schedule="hourly", at=datetime.now(UTC), origin="operator")
    envelope = Envelope(id=new_id(), source="/tests", time=tick.at, sequence=1, data=tick)
    producer = Producer(connection, source="/tests")
    await producer.send(
        connection.topic("JanitorTick"),
        key=envelope.key.encode(),
        value=envelope.value(),
        headers=envelope.headers(),
    )
    await producer.close()
