"""A small database and bus of a service: only the shared tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.db import (
    Database,
    idempotency_table,
    inbox_table,
    outbox_table,
    reconciliations_table,
)
from kappi_chassis.outbox import Outbox, Relay
from kappi_testkit.background import Background
from kappi_testkit.plugin import BrokerUnderTest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

metadata = MetaData()
outbox_table(metadata)
inbox_table(metadata)
reconciliations_table(metadata)
idempotency_table(metadata)


def create_tables(url: str) -> None:
    async def create() -> None:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await engine.dispose()

    asyncio.run(create())


@pytest.fixture
def url(make_database: Any) -> str:
    result: str = make_database("chassis-tests", create_tables)
    return result


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.start()
    yield database
    await database.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


@pytest.fixture
def connection(every_broker: BrokerUnderTest, topic_prefix: str) -> KafkaConnection:
    return KafkaConnection(bootstrap=every_broker.bootstrap, prefix=topic_prefix, fetch_max_wait_ms=20)


@pytest.fixture
async def producer(connection: KafkaConnection) -> AsyncIterator[Producer]:
    producer = Producer(connection, source="/tests")
    await producer.start()
    yield producer
    await producer.close()


@pytest.fixture
async def running() -> AsyncIterator[Background]:
    async with Background() as background:
        yield background


ConsumerMaker = Callable[..., Consumer]


@pytest.fixture
def make_consumer(connection: KafkaConnection, producer: Producer) -> ConsumerMaker:
    """`make_consumer(handler, group=..., dead_letters=..., on_gap=...)` for the topic GalleryDeleted."""

    def make(handler: Any, *, group: str = "tests", dead_letters: Any = None, on_gap: Any = None) -> Consumer:
        processor = Processor(
            group=connection.prefix + group,
            handlers={"GalleryDeleted": handler},
            dead_letters=dead_letters or DeadLetters(producer, connection),
        )
        return Consumer(connection, processor, on_gap=on_gap)

    return make


@pytest.fixture
def relay(url: str, producer: Producer) -> Relay:
    return Relay(url, producer)
