"""The Faust app: one agent per topic, each handing its records to the Processor.

What Faust does by itself and must not: acknowledge a record because its agent was stopped or failed (hence
`noack`), restart a failed agent behind the failed record (hence the crashing supervisor), hold a rebalance
until a record that is tried again succeeds (hence no `stream_wait_empty`). It starts no web server and no
producer, takes over neither logging nor signals (only its `Worker` would), and keeps nothing on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from faust.app.base import BootStrategy
from kappi_chassis.bus import KafkaConnection, Processor, Record
from kappi_chassis.bus.consumer import OnGap
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from mode.supervisors import CrashingSupervisor

from kappi_janitor.errors import StreamsNotReady, StreamsStopped
from kappi_janitor.faust_transport import FAUST_LOGGER, Transport
from kappi_janitor.partition_queue import PartitionQueue

COMMIT_INTERVAL_S = 1.0
KEYS_AT_ONCE = 8
LANE_DEPTH = 500
BUFFERED_RECORDS = 500
STOP_TIMEOUT_S = 10.0
RETRY_S = 1.0

_log = get_logger(__name__)


class _Boot(BootStrategy):
    enable_kafka_producer = False  # events go through the outbox
    enable_web = False
    enable_sensors = False  # a statistic a second for nobody: the Processor measures


class JanitorApp(faust.App):
    """A Faust app without a home directory."""

    logger = FAUST_LOGGER
    BootStrategy = _Boot

    async def on_first_start(self) -> None:
        """Faust would make a data folder for tables; there are none."""


@dataclass(frozen=True, slots=True)
class FaustDelivery:
    """A Faust event as the queue knows it."""

    record: Record
    event: Any
    app: Any

    @property
    def stale(self) -> bool:
        return bool(self.event.message.generation_id != self.app.consumer_generation_id)

    def acknowledge(self) -> None:
        self.event.ack()


class Streams:
    """Runs the app: `run` from start to cancellation, inside the event loop it is awaited in."""

    def __init__(
        self, connection: KafkaConnection, processor: Processor, *, on_gap: OnGap | None = None
    ) -> None:
        self._connection = connection
        self._processor = processor
        self._on_gap = on_gap
        self._app: JanitorApp | None = None

    async def run(self) -> None:
        """Until cancelled; then stops within seconds and commits what is sealed. Waits for a broker first.

        Raises StreamsStopped when Faust ended by itself: a dead letter that could not be written, a consumer
        that died. The process must end with it; whatever was not acknowledged comes again.
        """
        assigned = metrics.CONSUMER_ASSIGNED.labels(self._processor.group)
        assigned.set(0)  # seen, also if it never joins
        await self._await_broker()
        app = self._app = self._build()
        try:
            await app.start()
            _log.info("streams.started", group=self._processor.group, topics=len(self._processor.topics))
            await app.wait_until_stopped()
            raise StreamsStopped(repr(app.crash_reason)) from app.crash_reason
        finally:
            self._app = None
            assigned.set(0)
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await app.stop()

    async def ready(self) -> None:
        """Returns while we have our share of the partitions; raises StreamsNotReady otherwise."""
        app = self._app
        if app is None or app.crashed or app.rebalancing or not app.flow_control.is_active():
            raise StreamsNotReady("not in the group, or its partitions are being shared out")

    async def _await_broker(self) -> None:
        """Faust's own start gives up on a broker that is not there yet."""
        while True:
            client = AIOKafkaAdminClient(**self._connection.client_options())
            try:
                await client.start()
            except (KafkaConnectionError, OSError) as error:
                _log.warning("streams.no_broker", error=str(error), retry_in_s=RETRY_S)
            else:
                return
            finally:
                await client.close()
            await asyncio.sleep(RETRY_S)

    def _build(self) -> JanitorApp:
        app = JanitorApp(
            self._processor.group,
            broker=f"kafka://{self._connection.bootstrap.replace(',', ';kafka://')}",
            store="memory://",
            key_serializer="raw",
            value_serializer="raw",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
            agent_supervisor=CrashingSupervisor,
            processing_guarantee="at_least_once",
            stream_wait_empty=False,
            stream_buffer_maxsize=BUFFERED_RECORDS,
            broker_commit_interval=COMMIT_INTERVAL_S,
        )
        app.transport = Transport(app, self._connection, on_gap=self._on_gap)
        for topic in self._processor.topics:
            self._add_agent(app, topic)
        return app

    def _add_agent(self, app: JanitorApp, topic: str) -> None:
        source = app.topic(
            self._connection.topic(topic), key_type=bytes, value_type=bytes, allow_empty=True, internal=False
        )
        app.agent(source, name=f"{self._processor.group}.{topic}")(self._agent(app, topic))

    def _agent(self, app: JanitorApp, topic: str) -> Callable[[Any], Awaitable[None]]:
        async def consume(stream: Any) -> None:
            queues: dict[int, tuple[PartitionQueue, asyncio.Task[None]]] = {}
            async with asyncio.TaskGroup() as group:
                async for event in stream.noack().events():
                    record = _record(topic, event)
                    if record.partition not in queues:
                        queue = PartitionQueue(self._processor, concurrency=KEYS_AT_ONCE, depth=LANE_DEPTH)
                        queues[record.partition] = (queue, group.create_task(queue.run()))
                    queue, _ = queues[record.partition]
                    await queue.submit(FaustDelivery(record=record, event=event, app=app))
                for _, working in queues.values():  # the stream has ended: Faust stops
                    working.cancel()

        return consume


def _record(topic: str, event: Any) -> Record:
    message = event.message
    return Record(
        topic=topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
    )
