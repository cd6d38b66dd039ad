"""Measures the way from a commit to its consumer: outbox, relay, broker and inbox, on their own database and
brokers.

One process writes and relays, and another consumes, as two services do.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID, uuid4

import uvloop
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.bus.topics import declare_topics
from kappi_chassis.db import Database, inbox_table, outbox_table
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.postgres import EmbeddedPostgres
from kappi_chassis.inbox import once
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import Outbox, Relay, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import MediaReady
from kappi_testkit.background import Background
from kappi_testkit.servers import kafka as kafka_server
from kappi_testkit.servers.kafka import KafkaServer
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.row import Row

RATES: Final = (500, 2_000)
"""Events per second."""
GROUP: Final = "benchmark"
WARM_UP_S: Final = 1.0
TIMEOUT_S: Final = 60.0
_EMBEDDED_FETCH_WAIT_MS: Final = 5_000  # as in `kappi up`
_KEEP: Final = """
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
VALUES ($1, $2, $3, $4, $5, $6, 1)
"""
_UNSENT: Final = "SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)"


def rows(seconds: float) -> Iterator[Row]:
    """Measures on the broker of `kappi up`, and on Apache Kafka if `make real-servers` has been run."""
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory(prefix="kappi-bench-") as folder, ExitStack() as running:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        running.callback(postgres.stop)
        embedded = running.enter_context(EmbeddedBroker())
        brokers = {"embedded": KafkaConnection(embedded.bootstrap, fetch_max_wait_ms=_EMBEDDED_FETCH_WAIT_MS)}
        if kafka_server.runnable(root):
            (Path(folder) / "kafka").mkdir()
            kafka = KafkaServer(root=root, folder=Path(folder) / "kafka")
            kafka.start()
            running.callback(kafka.stop)
            brokers["kafka"] = KafkaConnection(kafka.bootstrap)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for (kind, broker), rate in itertools.product(brokers.items(), RATES):
                name = f"bench_{kind}_{rate}"
                runner.run(postgres.create_database(name))
                connection = replace(broker, prefix=f"{name}.")
                if kind == "kafka":
                    runner.run(declare_topics(connection))
                services = Services(connection, postgres.url(name))
                yield runner.run(_measure(services, kind, rate, seconds))


@dataclass(frozen=True, slots=True)
class Services:
    """The addresses that both processes of a measurement share."""

    connection: KafkaConnection
    url: str


async def _measure(services: Services, kind: str, rate: int, seconds: float) -> Row:
    await _create_tables(services.url)
    own_end, child_end = multiprocessing.Pipe()
    count = round(rate * (WARM_UP_S + seconds))
    consumer = multiprocessing.get_context("spawn").Process(
        target=_consume_in_process, args=(child_end, services, count), daemon=True
    )
    consumer.start()
    try:
        await _next_message(own_end)  # the consumer has its part in the group
        committed, elapsed_s = await _write(services, rate, count)
        began, done = await _next_message(own_end)
    finally:
        consumer.terminate()
        consumer.join()
    late = list(committed)[round(rate * WARM_UP_S) :]
    reached = sorted(began[each] - committed[each] for each in late if each in began)
    handled = sorted(done[each] - committed[each] for each in late if each in done)
    return Row(
        scenario="commit to consumer",
        via=kind,
        load=f"{rate}/s",
        per_second=round(count / elapsed_s),
        p50_ms=_percentile_ms(reached, 50),
        p99_ms=_percentile_ms(reached, 99),
        failed=len(late) - len(reached),
        note=f"its effect committed: p50 {_percentile_ms(handled, 50)}, p99 {_percentile_ms(handled, 99)} ms",
    )


async def _create_tables(url: str) -> None:
    metadata = MetaData()
    outbox_table(metadata)
    inbox_table(metadata)
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


async def _next_message(end: Connection) -> Any:
    """Returns the next message of the other process. Raises TimeoutError."""
    if not await asyncio.to_thread(end.poll, TIMEOUT_S):
        raise TimeoutError("the consumer does not answer")
    return end.recv()


async def _write(services: Services, rate: int, count: int) -> tuple[dict[UUID, float], float]:
    """Commits `count` times one event each, at a fixed rate, whatever the earlier commits take.

    Returns the instants of the commits by event, in their order, and the elapsed time in seconds.
    """
    committed: dict[UUID, float] = {}
    async with _Service(services) as service, Background() as beside:
        relay = Relay(services.url, service.producer)
        service.outbox.relayed_by(relay.nudge)
        beside.start(relay.run())
        began = time.monotonic()

        async def write() -> None:
            row = service.outbox.row(_event())
            await service.database.hot.execute(_KEEP, *row)
            committed[row.event_id] = time.monotonic()
            service.outbox.wake()

        async with asyncio.TaskGroup() as writing:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                writing.create_task(write())
        elapsed_s = time.monotonic() - began
        async with asyncio.timeout(TIMEOUT_S):
            while await service.database.hot.fetchval(_UNSENT):  # noqa: ASYNC110 - the relay sends no signal
                await asyncio.sleep(0.1)
    return committed, elapsed_s


def _consume_in_process(end: Connection, services: Services, count: int) -> None:
    configure_logging(service="benchmark", level="WARNING", renderer="console")
    uvloop.run(_consume(end, services, count))


async def _consume(end: Connection, services: Services, count: int) -> None:
    """Reports when the consumer has its part in the group, and in the end when each event arrived and was
    handled, by id.
    """
    began: dict[UUID, float] = {}
    done: dict[UUID, float] = {}
    all_done = asyncio.Event()
    async with _Service(services) as service, Background() as beside:
        effect = once(service.outbox, consumer=GROUP, effect=_no_effect)

        async def handle(envelope: Envelope[Any]) -> bool:
            began.setdefault(envelope.id, time.monotonic())
            was_new = await effect(envelope)
            done.setdefault(envelope.id, time.monotonic())
            if len(done) == count:
                all_done.set()
            return was_new

        processor = Processor(
            group=GROUP,
            handlers={MediaReady.topic_name(): handle},
            dead_letters=DeadLetters(service.producer, services.connection),
        )
        consumer = Consumer(services.connection, processor)
        beside.start(consumer.run())
        async with asyncio.timeout(TIMEOUT_S):
            while not consumer.assigned:  # noqa: ASYNC110 - the consumer sends no signal
                await asyncio.sleep(0.05)
        end.send(None)
        await all_done.wait()
        end.send((began, done))


async def _no_effect(_: UnitOfWork, __: Envelope[Any]) -> None:
    """Does nothing: only the inbox is written, as every consumer does."""


class _Service:
    """The parts of a service that send and receive events, as an async context manager."""

    def __init__(self, services: Services) -> None:
        self.database = Database(services.url)
        self.outbox = Outbox(self.database)
        self.producer = Producer(services.connection, source="/benchmarks")

    async def __aenter__(self) -> Self:
        await self.database.start()
        await self.producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.producer.close()
        await self.database.close()


def _event() -> MediaReady:
    return MediaReady(
        media_id=uuid4(),
        gallery_id=uuid4(),
        kind="image",
        content_type="image/jpeg",
        size_bytes=4_000_000,
        width=4000,
        height=3000,
        duration_ms=None,
        ready_at=datetime.now(UTC),
    )


def _percentile_ms(ordered: list[float], percent: float) -> float:
    """Returns a percentile in milliseconds. ordered: seconds in ascending order."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3, 1)
