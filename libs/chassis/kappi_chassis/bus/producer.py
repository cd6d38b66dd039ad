"""Sends to Kafka: idempotent, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError
from kappi_contracts.envelope import Envelope, Headers, encode_headers
from kappi_contracts.events import Event

from kappi_chassis.bus.connection import KafkaConnection
from kappi_chassis.observability import context, tracing
from kappi_chassis.outbox.relay import EventRefused

REQUEST_TIMEOUT_MS = 15_000
DELIVERY_TIMEOUT_S = 30.0
ENDING_S = 2.0

_TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError)

Outgoing = tuple[str, bytes | None, bytes | None, Headers]


class Producer:
    """An idempotent producer that replaces the aiokafka producer after a failure, which may refuse records
    for ever.
    """

    def __init__(self, connection: KafkaConnection, *, source: str) -> None:
        """Sets up the producer; nothing connects yet. source: CloudEvents `source` of all its events, for
        example `/galleries`.
        """
        self._connection = connection
        self._source = source
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Connects now; otherwise the first record does. Raises KafkaError, OSError."""
        await self._started()

    async def close(self) -> None:
        """Closes, bounded in time: records that the broker does not take by then stay with the caller."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _end(producer)

    async def send_batch(self, rows: Sequence[Any]) -> list[BaseException | None]:
        """Sends outbox rows in order. Returns per row None once acknowledged, else the failure. Source:
        EventSink.
        """
        with _publishing(rows) as spans:
            outcomes = await self._send_all(
                [
                    (
                        self._connection.topic(row["topic"]),
                        row["key"].encode(),
                        row["payload"],
                        self._headers(row, row["traceparent"] if span is None else span.traceparent),
                    )
                    for row, span in zip(rows, spans, strict=True)
                ]
            )
            for span, outcome in zip(spans, outcomes, strict=True):
                if span is not None and outcome is not None:
                    span.fail(type(outcome).__name__)
        return [_in_relay_words(outcome) for outcome in outcomes]

    async def send_event(self, envelope: Envelope[Event]) -> None:
        """Sends one event, signed and acknowledged. Raises KafkaError, OSError, TimeoutError."""
        topic = type(envelope.data).topic_name()
        key, value = envelope.key.encode(), envelope.value()
        headers = self._connection.mac.signed(topic=topic, key=key, value=value, headers=envelope.headers())
        await self.send(self._connection.topic(topic), key=key, value=value, headers=headers)

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Sends one record unchanged to a full topic name, acknowledged.

        Raises KafkaError, OSError, TimeoutError.
        """
        (failure,) = await self._send_all([(topic, key, value, headers)])
        if failure is not None:
            raise failure

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._connection.client_options(),
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_batch_size=128 * 1024,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _end(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _send_all(self, records: Sequence[Outgoing]) -> list[BaseException | None]:
        producer: AIOKafkaProducer | None = None
        handed_over: list[asyncio.Future[Any] | BaseException] = []
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                producer = await self._started()
                await _hand_over(producer, records, into=handed_over)
                if futures := [found for found in handed_over if isinstance(found, asyncio.Future)]:
                    await asyncio.wait(futures)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._replace(producer)
            return [error] * len(records)
        finally:
            _look_at(handed_over)
        outcomes = [_outcome(found) for found in handed_over]
        if any(
            outcome is not None and isinstance(found, asyncio.Future)
            for found, outcome in zip(handed_over, outcomes, strict=True)
        ):
            # Its sequence numbers have a gap now, after which the broker refuses further records.
            await self._replace(producer)
        return outcomes

    async def _replace(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and self._producer is producer:
            self._producer = None
            await _abandon(producer)

    def _headers(self, row: Any, traceparent: str | None) -> Headers:
        headers = encode_headers(
            event_id=row["event_id"],
            event_type=row["type"],
            source=self._source,
            key=row["key"],
            time=row["occurred_at"],
            sequence=row["sequence"],
            traceparent=traceparent,
        )
        return self._connection.mac.signed(
            topic=row["topic"], key=row["key"].encode(), value=row["payload"], headers=headers
        )


@contextmanager
def _publishing(rows: Sequence[Any]) -> Iterator[list[tracing.Span | None]]:
    """Within the context, each row is being published, as a span of its trace. Yields the spans."""
    tracer = tracing.tracer
    spans = [None if tracer is None else _publication(tracer, row) for row in rows]
    try:
        yield spans
    finally:
        for span in spans:
            if span is not None:
                span.end()


def _publication(tracer: tracing.Tracer, row: Any) -> tracing.Span | None:
    if not row["traceparent"] or not context.is_exported(row["traceparent"]):
        return None
    span = tracer.begin(f"publish {row['topic']}", kind="producer", parent=row["traceparent"])
    span.note(
        {
            "messaging.system": "kafka",
            "messaging.destination.name": row["topic"],
            "messaging.message.id": str(row["event_id"]),
        }
    )
    return span


async def _hand_over(
    producer: AIOKafkaProducer,
    records: Sequence[Outgoing],
    *,
    into: list[asyncio.Future[Any] | BaseException],
) -> None:
    """Queues records in order. An unreachable topic does not delay the other topics."""
    unreachable: dict[str, KafkaError] = {}
    for topic, key, value, headers in records:
        if topic in unreachable:
            into.append(unreachable[topic])
            continue
        try:
            into.append(await producer.send(topic, value=value, key=key, headers=list(headers)))
        except _TOO_LARGE as error:
            into.append(error)
        except KafkaError as error:
            unreachable[topic] = error
            into.append(error)


def _outcome(found: asyncio.Future[Any] | BaseException) -> BaseException | None:
    if isinstance(found, BaseException):
        return found
    return KafkaError("given up") if found.cancelled() else found.exception()


def _in_relay_words(outcome: BaseException | None) -> BaseException | None:
    if not isinstance(outcome, _TOO_LARGE):
        return outcome
    refused = EventRefused(f"{type(outcome).__name__}: {outcome}")
    refused.__cause__ = outcome
    return refused


def _look_at(handed_over: Iterable[asyncio.Future[Any] | BaseException]) -> None:
    """Retrieves the failures of futures that are not awaited any more, which would be reported as bugs
    otherwise.
    """
    for found in handed_over:
        if isinstance(found, asyncio.Future):
            found.add_done_callback(lambda future: future.cancelled() or future.exception())


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Ends the producer without sending what it still holds; `stop` alone would wait for the broker to take
    that.

    It uses internals of aiokafka, which has no such function. The sender task ends first and the connections
    are closed, so that no held record is sent later, after records of the next producer.
    """
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        for connection in list(producer.client._conns.values()):
            connection.close()
        await asyncio.wait([sender], timeout=ENDING_S)
        held = producer._message_accumulator
        waiting = [*held._pending_batches, *(batch for queue in held._batches.values() for batch in queue)]
        held._pending_batches.clear()
        held._batches.clear()
        for batch in waiting:
            for future, _ in batch._msg_futures:
                future.cancel()
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(ENDING_S):
            await producer.stop()


async def _end(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(ENDING_S):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError):
        await _abandon(producer)
