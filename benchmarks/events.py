"""Measures the way from a commit to its consumer: outbox, relay, broker and inbox, on their own database and
brokers.

One process writes and relays, and another consumes, as two services do. Each row also has the processor time
of both, of the broker and of PostgreSQL, per event.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID, uuid4

import uvloop
from kappi_chassis.bus import Consumer, DeadLetters, KafkaConnection, Processor, Producer
from kappi_chassis.bus.processor import BatchHandler
from kappi_chassis.bus.topics import declare_topics
from kappi_chassis.db import Database, inbox_table, outbox_table
from kappi_chassis.embedded.broker import EmbeddedBroker
from kappi_chassis.embedded.postgres import EmbeddedPostgres
from kappi_chassis.inbox import once_together
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.outbox import BatchUnit, Outbox, Relay
from kappi_contracts.envelope import Envelope, encode_data
from kappi_contracts.events import MediaReady
from kappi_testkit.background import Background
from kappi_testkit.servers import kafka as kafka_server
from kappi_testkit.servers.kafka import KafkaServer
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.processor import seconds_of_threads, seconds_with_children
from benchmarks.row import Row

RATES: Final = (500, 2_000)
"""Events per second."""
GROUP: Final = "benchmark"
BACKLOG: Final = 20_000
"""Events that wait when the consumer starts."""
WARM_UP_S: Final = 1.0
TIMEOUT_S: Final = 60.0
_EMBEDDED_FETCH_WAIT_MS: Final = 5_000  # as in `kappi up`
_BROKER_THREADS: Final = "rdk:"  # librdkafka runs the embedded broker in this process
_PAGE: Final = 500
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
        connection = KafkaConnection(embedded.bootstrap, fetch_max_wait_ms=_EMBEDDED_FETCH_WAIT_MS)
        brokers = {"embedded": Broker("embedded", connection, lambda: seconds_of_threads(_BROKER_THREADS))}
        if kafka_server.runnable(root):
            (Path(folder) / "kafka").mkdir()
            kafka = KafkaServer(root=root, folder=Path(folder) / "kafka")
            kafka.start()
            running.callback(kafka.stop)
            connection = KafkaConnection(kafka.bootstrap)
            brokers["kafka"] = Broker("kafka", connection, lambda: seconds_with_children(kafka.pid))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for broker, rate in itertools.product(brokers.values(), (*RATES, None)):
                name = f"bench_{broker.kind}_{rate or 'backlog'}"
                runner.run(postgres.create_database(name))
                connection = replace(broker.connection, prefix=f"{name}.")
                if broker.kind == "kafka":
                    runner.run(declare_topics(connection))
                services = Services(connection, postgres.url(name))
                busy = Busy(postgres.pid, broker)
                if rate is None:
                    yield runner.run(_measure_backlog(services, busy))
                else:
                    yield runner.run(_measure(services, busy, rate, seconds))


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker under test. busy_s: returns the processor time that it has used so far."""

    kind: str
    connection: KafkaConnection
    busy_s: Callable[[], float]


class Busy:
    """The processor time since its construction, per event. database_pid: of PostgreSQL's first process."""

    def __init__(self, database_pid: int, broker: Broker) -> None:
        self.broker = broker
        self._database_pid = database_pid
        self._began = self._now()

    def restart(self) -> None:
        self._began = self._now()

    def note(self, count: int, *, consumer_s: float) -> str:
        """Returns the times as text. consumer_s: processor time of the consumer, which measures itself."""
        used = {part: now - self._began[part] for part, now in self._now().items()}
        used = {"consumer": consumer_s, **used}
        return "µs an event: " + ", ".join(f"{part} {s / count * 1e6:.0f}" for part, s in used.items())

    def _now(self) -> dict[str, float]:
        inside = seconds_of_threads(_BROKER_THREADS)
        return {
            "writer and relay": time.process_time() - inside,
            "broker": self.broker.busy_s(),
            "PostgreSQL": seconds_with_children(self._database_pid),
        }


@dataclass(frozen=True, slots=True)
class Services:
    """The addresses that both processes of a measurement share."""

    connection: KafkaConnection
    url: str


async def _measure(services: Services, busy: Busy, rate: int, seconds: float) -> Row:
    await _create_tables(services.url)
    count = round(rate * (WARM_UP_S + seconds))
    async with _consumer(services, count) as own_end:
        await _next_message(own_end)  # the consumer has its part in the group
        busy.restart()
        committed, elapsed_s = await _write(services, rate, count)
        began, done, consumer_s = await _next_message(own_end)
        spent = busy.note(count, consumer_s=consumer_s)
    late = list(committed)[round(rate * WARM_UP_S) :]
    reached = sorted(began[each] - committed[each] for each in late if each in began)
    handled = sorted(done[each] - committed[each] for each in late if each in done)
    return Row(
        scenario="commit to consumer",
        via=busy.broker.kind,
        load=f"{rate}/s",
        per_second=round(count / elapsed_s),
        p50_ms=_percentile_ms(reached, 50),
        p99_ms=_percentile_ms(reached, 99),
        failed=len(late) - len(reached),
        note=f"committed: p50 {_percentile_ms(handled, 50)}, p99 {_percentile_ms(handled, 99)} ms, {spent}",
    )


async def _measure_backlog(services: Services, busy: Busy) -> Row:
    """Measures a consumer alone: all events are in the broker before it starts."""
    await _create_tables(services.url)
    producer = Producer(services.connection, source="/benchmarks")
    for _ in range(BACKLOG // _PAGE):
        outcomes = await producer.send_batch([_record() for _ in range(_PAGE)])
        assert not any(outcomes)
    await producer.close()
    busy.restart()
    async with _consumer(services, BACKLOG) as own_end:
        await _next_message(own_end)
        began, done, consumer_s = await _next_message(own_end)
        spent = busy.note(BACKLOG, consumer_s=consumer_s)
    elapsed_s = max(done.values()) - min(began.values())
    return Row(
        scenario="consume a backlog",
        via=busy.broker.kind,
        load=f"{BACKLOG} events",
        per_second=round(BACKLOG / elapsed_s),
        p50_ms=0,
        p99_ms=0,
        failed=BACKLOG - len(done),
        note=spent,
    )


def _record() -> dict[str, Any]:
    """Returns an event as the relay reads it from the outbox."""
    event = _event()
    return {
        "event_id": uuid4(),
        "topic": event.topic_name(),
        "type": event.ce_type(),
        "key": event.key(),
        "sequence": 1,
        "payload": encode_data(event),
        "traceparent": None,
        "occurred_at": datetime.now(UTC),
    }


@asynccontextmanager
async def _consumer(services: Services, count: int) -> AsyncIterator[Connection]:
    """Runs a consumer in a process of its own. Yields the connection with its messages."""
    own_end, child_end = multiprocessing.Pipe()
    consumer = multiprocessing.get_context("spawn").Process(
        target=_consume_in_process, args=(child_end, services, count), daemon=True
    )
    consumer.start()
    try:
        yield own_end
    finally:
        consumer.terminate()
        consumer.join()


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
    handled, by id, and the processor time between the first and the last.
    """
    async with _Service(services) as service, Background() as beside:
        handler = Timed(once_together(service.outbox, consumer=GROUP, effect=_no_effect), count=count)
        processor = Processor(
            group=GROUP,
            handlers={MediaReady.topic_name(): handler},
            dead_letters=DeadLetters(service.producer, services.connection),
        )
        consumer = Consumer(services.connection, processor)
        beside.start(consumer.run())
        async with asyncio.timeout(TIMEOUT_S):
            while not consumer.assigned:  # noqa: ASYNC110 - the consumer sends no signal
                await asyncio.sleep(0.05)
        end.send(None)
        await handler.all_done.wait()
        end.send((handler.began, handler.done, time.process_time() - handler.busy_before_s))


class Timed:
    """A handler that notes when each event arrived and was handled. count: of events in all."""

    def __init__(self, handler: BatchHandler, *, count: int) -> None:
        self.began: dict[UUID, float] = {}
        self.done: dict[UUID, float] = {}
        self.all_done = asyncio.Event()
        self.busy_before_s = 0.0
        """Processor time before the first event."""
        self._handler = handler
        self._count = count

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        (is_new,) = await self.handle_all([envelope])
        return is_new

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        if not self.began:
            self.busy_before_s = time.process_time()
        now = time.monotonic()
        for envelope in envelopes:
            self.began.setdefault(envelope.id, now)
        news = await self._handler.handle_all(envelopes)
        now = time.monotonic()
        for envelope in envelopes:
            self.done.setdefault(envelope.id, now)
        if len(self.done) == self._count:
            self.all_done.set()
        return news


async def _no_effect(_: BatchUnit, __: Sequence[Envelope[Any]]) -> None:
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
