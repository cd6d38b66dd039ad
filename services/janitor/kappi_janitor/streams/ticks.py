"""The agent over the ticks (ADR-0046).

Faust fetches records, keeps the membership of the group and commits what the agent acknowledged. The chassis'
Processor decides about each record: done, retried without limit, or sent to the dead-letter topic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from kappi_chassis.bus import KafkaConnection, Processor, Record
from kappi_chassis.bus.dead_letter_limit import TooManyDeadLetters, stay_stopped
from kappi_chassis.bus.retention_gap import OnGap, report_gaps
from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_contracts.topics import BY_NAME

from kappi_janitor.errors import StreamsNotReady, StreamsStopped
from kappi_janitor.streams.app import JanitorApp, build_app
from kappi_janitor.streams.monitor import LagMonitor

TOPIC = "JanitorTick"
STOP_TIMEOUT_S = 10.0
RETRY_S = 1.0
BROKER_IS_AWAY = (KafkaError, OSError, TimeoutError)

_log = get_logger(__name__)


class TickStream:
    """Runs the Faust app, from start to cancellation, in the event loop in which `run` is awaited."""

    def __init__(
        self,
        connection: KafkaConnection,
        processor: Processor,
        *,
        on_gap: OnGap | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """processor: of the topic JanitorTick. on_gap: as for `Consumer`."""
        self._connection = connection
        self._processor = processor
        self._on_gap = on_gap
        self._clock = clock
        self._app: JanitorApp | None = None
        self._expected: dict[Any, int] = {}
        self._in_hand_since: float | None = None

    async def run(self) -> None:
        """Run until cancelled; an unreachable broker is waited for. After too many dead letters the app ends,
        and the process goes on without it, not ready.

        Raises StreamsStopped when a dead letter could not be written, or Faust ended for another reason. The
        process must end then. Every record that was not acknowledged is delivered again.
        """
        # The metrics exist from the start, even if the group is never joined.
        self._set_assigned(0)
        metrics.CONSUMER_OLDEST_SECONDS.labels(self._processor.group, TOPIC).set_function(self._oldest_s)
        metrics.CONSUMER_STOPPED.labels(self._processor.group).set(0)
        try:
            await self._sessions()
        except TooManyDeadLetters as stopped:
            await stay_stopped(self._processor.group, reason=stopped)

    async def _sessions(self) -> None:
        while True:
            error = await self._session()
            _log.warning(
                "streams.lost_broker",
                error=str(error),
                error_type=type(error).__name__,
                retry_in_s=RETRY_S,
            )
            await asyncio.sleep(RETRY_S)

    async def ready(self) -> None:
        """Return if the app has joined its group. Raises StreamsNotReady."""
        app = self._app
        if app is None or app.crashed or app.rebalancing or not app.flow_control.is_active():
            raise StreamsNotReady("not in the group, or its partitions are being shared out")

    async def _session(self) -> BaseException:
        """Returns the failure by which the broker was lost.

        Raises TooManyDeadLetters, and StreamsStopped for any other end.
        """
        try:
            # Faust's own start would leave a half-started consumer if no broker answers.
            await self._look_for_gaps_at_start()
        except BROKER_IS_AWAY as error:
            return error
        monitor = LagMonitor(self._connection)
        app = self._app = self._build(monitor)
        try:
            await app.start()
            _log.info("streams.started", group=self._processor.group)
            await app.wait_until_stopped()
            failure = app.crash_reason
        except BROKER_IS_AWAY as error:
            failure = error
        finally:
            self._app = None
            self._set_assigned(0)
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await app.stop()
            monitor.forget()
        if isinstance(failure, TooManyDeadLetters):
            raise failure
        if not isinstance(failure, BROKER_IS_AWAY):
            raise StreamsStopped(repr(failure)) from failure
        return failure

    def _oldest_s(self) -> float:
        """Returns the age of the tick in hand. The agent takes one after the other."""
        since = self._in_hand_since
        return 0.0 if since is None else max(0.0, self._clock().timestamp() - since)

    def _set_assigned(self, partitions: int) -> None:
        metrics.CONSUMER_ASSIGNED.labels(self._processor.group).set(partitions)

    def _build(self, monitor: LagMonitor) -> JanitorApp:
        app = build_app(self._connection, group=self._processor.group, monitor=monitor)
        topic = app.topic(
            self._connection.topic(TOPIC), key_type=bytes, value_type=bytes, allow_empty=True, internal=False
        )

        async def on_assigned(_: Any, assigned: set[Any], **__: Any) -> None:
            self._set_assigned(len(assigned))
            self._expected.clear()

        async def on_revoked(*_: Any, **__: Any) -> None:
            self._set_assigned(0)
            monitor.forget()

        async def sweep(stream: Any) -> None:
            # `noack`: Faust would acknowledge a record because its agent was stopped or failed.
            async for event in stream.noack().events():
                await self._handle(app, event.message)
                event.ack()
                app.add_future(app.commit_soon())

        app.on_partitions_assigned.connect(on_assigned)  # type: ignore[arg-type]  # Faust passes a set
        app.on_partitions_revoked.connect(on_revoked)
        app.agent(topic, name=f"{self._processor.group}.{TOPIC}")(sweep)
        return app

    async def _handle(self, app: JanitorApp, message: Any) -> None:
        wanted, self._expected[message.tp] = self._expected.get(message.tp), message.offset + 1
        if wanted is not None and message.offset > wanted:
            await self._report_gaps({message.tp: wanted}, await app.consumer.earliest_offsets(message.tp))
        self._in_hand_since = message.timestamp
        try:
            await self._processor.process(_record(message))
        except TooManyDeadLetters:
            raise
        except Exception as error:
            raise StreamsStopped(f"no dead letter was written: {error!r}") from error
        finally:
            self._in_hand_since = None

    async def _look_for_gaps_at_start(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._connection.client_options(), group_id=self._processor.group, enable_auto_commit=False
        )
        try:
            await consumer.start()  # it subscribes to nothing, so it does not join the group
            topic = self._connection.topic(TOPIC)
            partitions = [TopicPartition(topic, number) for number in range(BY_NAME[TOPIC].partitions)]
            begins = await consumer.beginning_offsets(partitions)
            wanted = {tp: await consumer.committed(tp) for tp in partitions}
        finally:
            await consumer.stop()
        # A new group reads all records if records can be lost and sent again.
        from_nothing = None if self._on_gap is None else 0
        known = {tp: from_nothing if offset is None else offset for tp, offset in wanted.items()}
        await self._report_gaps({tp: offset for tp, offset in known.items() if offset is not None}, begins)

    async def _report_gaps(self, wanted: Mapping[Any, int], begins: Mapping[Any, int]) -> None:
        await report_gaps(wanted, begins, topic_of=self._connection.unprefixed, on_gap=self._on_gap)


def _record(message: Any) -> Record:
    return Record(
        topic=TOPIC,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
    )
