"""Sends a tick to the janitor and watches its effects."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from kappi_chassis.bus import KafkaConnection, Producer
from kappi_chassis.clock import new_id, utc_now
from kappi_chassis.observability.context import continue_trace
from kappi_contracts.envelope import Envelope, MalformedEvent, decode
from kappi_contracts.events import JanitorTick

from kappi_embedded.backlog import BacklogReader

SCHEDULE = "operator"
_WATCHED = ("GalleryExpired", "GalleryDeleted", "MediaDeleted", "ObjectsPurged")
_POLL_MS = 100


@dataclass(slots=True)
class TickReport:
    """The effects of a tick: events by name, and purged objects. settled: no work is pending any more.

    seen: the ids of the counted events, because the replayer sends those of a new topic again.
    """

    at: datetime
    events: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    settled: bool = False
    deleted: set[UUID] = field(default_factory=set)
    purged: set[UUID] = field(default_factory=set)
    seen: set[UUID] = field(default_factory=set)


async def send_tick(connection: KafkaConnection, at: datetime, *, trace: str) -> None:
    """Publishes a tick and returns once the broker has it. at: UTC, the janitor's current time for this tick.
    trace: a W3C traceparent by which its effects are found. Raises KafkaError, OSError.
    """
    now = utc_now()
    envelope = Envelope(
        id=new_id(),
        source="/operator",
        time=now,
        sequence=int(now.timestamp() * 1000),
        data=JanitorTick(schedule=SCHEDULE, at=at, origin="operator"),
        traceparent=trace,
    )
    producer = Producer(connection, source=envelope.source)
    await producer.start()
    try:
        await producer.send_event(envelope)
    finally:
        await producer.close()


class Ticker:
    """Sends ticks to one deployment. reader: reports when the effects are complete."""

    def __init__(self, connection: KafkaConnection, reader: BacklogReader) -> None:
        self._connection = connection
        self._reader = reader

    async def tick(self, at: datetime, *, timeout_s: float) -> TickReport:
        """Sends a tick and follows its effects. at: as for `send_tick`. Raises KafkaError, OSError."""
        report = TickReport(at)
        trace = continue_trace(None)
        async with self._listening() as consumer:
            await send_tick(self._connection, at, trace=trace)
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline and not report.settled:
                await _collect(consumer, report, trace, deadline)
                settled = await self._reader.settle(timeout_s=min(1.0, deadline - time.monotonic()))
                await _collect(consumer, report, trace, deadline)
                # The janitor empties prefixes outside the stream, so a quiet stream is not enough.
                report.settled = settled and report.deleted <= report.purged
        return report

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            *(self._connection.topic(name) for name in _WATCHED),
            **self._connection.client_options(),
            group_id=None,
            auto_offset_reset="latest",
            fetch_max_wait_ms=self._connection.fetch_max_wait_ms,
        )
        await consumer.start()
        try:
            # Positions are determined on first use. This must happen before the tick, because its effects may
            # be behind a later position.
            for partition in consumer.assignment():
                await consumer.position(partition)
            yield consumer
        finally:
            await consumer.stop()


async def _collect(consumer: AIOKafkaConsumer, report: TickReport, trace: str, deadline: float) -> None:
    """Notes all records present now. An empty poll may come between two partitions' records."""
    ends = await consumer.end_offsets(consumer.assignment())
    while time.monotonic() < deadline and await _is_behind(consumer, ends):
        found = await consumer.getmany(timeout_ms=_POLL_MS)
        for messages in found.values():
            for message in messages:
                _note(message, report, trace)
        await asyncio.sleep(0)


async def _is_behind(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return True
    return False


def _note(message: Any, report: TickReport, trace: str) -> None:
    try:
        envelope = decode(message.value, message.headers)
    except MalformedEvent:
        return  # its consumers send it to the dead-letter topic
    if envelope.id in report.seen:
        return
    report.seen.add(envelope.id)
    name = type(envelope.data).topic_name()
    ours = envelope.traceparent is not None and envelope.traceparent[3:35] == trace[3:35]
    data: Any = envelope.data
    if name == "ObjectsPurged":
        # A tick also hurries purges that were waiting, which belong to the trace of their own request.
        report.events[name] += 1
        report.objects += data.objects
        report.purged.add(data.media_id or data.gallery_id)
    elif ours:
        report.events[name] += 1
        if name == "GalleryDeleted":
            report.deleted.add(data.gallery_id)
        elif name == "MediaDeleted":
            report.deleted.add(data.media_id)
