"""Decides the outcome of a record: done, retried, or dead-lettered. It is independent of how records are
fetched.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from kappi_contracts.envelope import Envelope, Headers, MalformedEvent, UnknownVersion, decode

from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit
from kappi_chassis.bus.future_events import acts_too_early
from kappi_chassis.bus.mac import EventMac
from kappi_chassis.clock import Clock, utc_now
from kappi_chassis.db.failures import data_is_unstorable, database_is_away
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.observability.tracing import Attributes, continued, work_caused_by, work_caused_by_all
from kappi_chassis.storage import StorageRefused, StorageUnavailable

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 30.0
UNEXPECTED_ATTEMPTS = 5
TELL_REFUSALS_EVERY_S = 10.0
MAX_HEADER_CHARACTERS = 64
LETTER_ENDING_S = 5.0  # for a dead letter that is being sent when the consumer stops

_log = get_logger(__name__)
_stdlib_log = logging.getLogger(__name__)
_FATES = {True: "done", False: "duplicate"}


class Transient(Exception):
    """Raised by a handler for a failure that will pass. The record is retried; order is kept."""


class Poison(Exception):
    """Raised by a handler for a record that can never be handled. It goes to the dead letters."""


class RecordRefused(Exception):
    """A record that is not of this deployment, or acts too early: it is dropped and counted."""


class TooMuchTogether(Exception):
    """Raised for several events whose work is too large for one transaction. They are handled one by one."""


_TRANSIENT = (Transient, StorageUnavailable, OSError, TimeoutError)
_LOCAL_FILES = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record. topic: without the deployment's prefix. timestamp_ms: when it was sent (Unix time)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None


class DeadLetterSink(Protocol):
    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        """Keeps the record where an operator finds it; returns once the broker acknowledged it."""
        ...


Handler = Callable[[Envelope[Any]], Awaitable[bool]]


@runtime_checkable
class BatchHandler(Protocol):
    """A handler that can handle many events in one transaction."""

    async def __call__(self, envelope: Envelope[Any], /) -> bool: ...

    async def handle_all(self, envelopes: Sequence[Envelope[Any]]) -> Sequence[bool]:
        """Handles events in the order in which they arrived, all or none.

        Returns for each what a call with it alone would return.
        """
        ...


class Incoming(Protocol):
    """The argument of a handler: an event, or an external record."""

    @property
    def id(self) -> UUID | str: ...

    @property
    def traceparent(self) -> str | None: ...


class Processor:
    """Handles records one after another, until each is done or a dead letter.

    handlers: by topic name. A handler returns False for a duplicate. Its exception decides the outcome: an
    `is_transient` error is retried without end with growing pauses; an `is_poison` error and malformed
    records are sent to the dead-letter topic at once; any unexpected error after a few attempts, because a
    bug must not block a partition for ever.

    skips_versions_of: topics of which a version that is not known here is skipped and counted, because its
    producer also publishes the known one (ADR-0061). On other topics it is a malformed record.

    mac: of the deployment's events. A record without a valid MAC, or one that `acts_too_early`, is dropped
    and counted: its writer decides how many there are, so they must not fill the dead letters or the log.
    Real events are in an outbox.

    limit: of dead letters. Without one there may be any number.
    """

    def __init__(
        self,
        *,
        group: str,
        handlers: Mapping[str, Handler],
        dead_letters: DeadLetterSink,
        skips_versions_of: Collection[str] = (),
        mac: EventMac | None = None,
        limit: DeadLetterLimit | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.group = group
        self.topics = tuple(handlers)
        self._handlers = handlers
        self._dead_letters = dead_letters
        self._skips_versions_of = frozenset(skips_versions_of)
        self._mac = mac or EventMac()
        self._limit = limit
        self._clock = clock
        self._refused = 0
        self._refusals_told_at = float("-inf")

    def handles_together(self, topic: str) -> bool:
        """Returns whether records of a topic may be given to `process_together`."""
        return isinstance(self._handlers[topic], BatchHandler)

    async def process_together(self, records: Sequence[Record]) -> Sequence[bool]:
        """Handles records of one topic in one transaction. Returns for each whether it is done.

        The others have had no effect, and are for `process`: those that cannot be read, and all after any
        failure, because it does not tell which of them is at fault.
        """
        started, topic = time.perf_counter(), records[0].topic
        handler = self._handlers[topic]
        assert isinstance(handler, BatchHandler)
        events = [self._readable(record) for record in records]
        readable = [index for index, event in enumerate(events) if event is not None]
        try:
            news = await self._handle_all(handler, [(records[i], events[i]) for i in readable])
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            return [False] * len(records)
        except TooMuchTogether:
            return [False] * len(records)
        except Exception as error:  # noqa: BLE001 - one by one, every failure gets a fate
            metrics.CONSUMER_BATCH_FAILURES.labels(topic).inc()
            _log.info(
                "consumer.batch_failed",
                group=self.group,
                topic=topic,
                records=len(readable),
                error=str(error),
                error_type=type(error).__name__,
            )
            return [False] * len(records)
        self._count(topic, news, elapsed_s=time.perf_counter() - started)
        return [event is not None for event in events]

    async def process(self, record: Record) -> None:
        """Returns when the offset may move. Raises only if the dead letter cannot be sent, or is one too many
        (TooManyDeadLetters): then the consumer must stop.
        """
        started = time.perf_counter()
        try:
            envelope = self._read(record)
        except MalformedEvent as error:
            with self._work_on(record, _header(record, "traceparent")):
                if self._skips(record, error):
                    fate = "skipped"
                else:
                    await self._send_to_dlq(record, error)
                    fate = "dead_lettered"
        except RecordRefused as refusal:
            self._tell(record, refusal)
            fate = "refused"
        else:
            with self._work_on(record, envelope.traceparent):
                fate = await self._handle(record, envelope)
                _log.debug(
                    "consumer.handled",
                    group=self.group,
                    topic=record.topic,
                    event_id=str(envelope.id),
                    fate=fate,
                    elapsed_ms=round((time.perf_counter() - started) * 1e3, 1),
                )
        metrics.CONSUMER_RECORD_SECONDS.labels(record.topic).observe(time.perf_counter() - started)
        metrics.CONSUMER_RECORDS.labels(record.topic, fate).inc()

    async def _handle_all(self, handler: BatchHandler, found: Sequence[tuple[Record, Any]]) -> Sequence[bool]:
        if not found:
            return []
        topic = found[0][0].topic
        with work_caused_by_all(
            [event.traceparent for _, event in found],
            f"process {topic}",
            kind="consumer",
            attributes=lambda index: self._attributes(found[index][0]),
        ) as traceparents:
            events = [
                event if event.traceparent == own else replace(event, traceparent=own)
                for (_, event), own in zip(found, traceparents, strict=True)
            ]
            news = await handler.handle_all(events)
            if _stdlib_log.isEnabledFor(logging.DEBUG):
                for event, is_new in zip(events, news, strict=True):
                    with continued(event.traceparent):
                        _log.debug(
                            "consumer.handled",
                            group=self.group,
                            topic=topic,
                            event_id=str(event.id),
                            fate=_FATES[is_new],
                            together=len(events),
                        )
        return news

    def _readable(self, record: Record) -> Any:
        """Returns the argument of the record's handler; None if it has none."""
        try:
            return self._read(record)
        except (MalformedEvent, RecordRefused):
            return None

    def _count(self, topic: str, news: Sequence[bool], *, elapsed_s: float) -> None:
        seconds = metrics.CONSUMER_RECORD_SECONDS.labels(topic)
        for _ in news:
            seconds.observe(elapsed_s)
        for is_new, number in Counter(news).items():
            metrics.CONSUMER_RECORDS.labels(topic, _FATES[is_new]).inc(number)

    def _work_on(self, record: Record, traceparent: str | None) -> AbstractContextManager[Any]:
        attributes = self._attributes(record)
        return work_caused_by(traceparent, f"process {record.topic}", kind="consumer", attributes=attributes)

    def _attributes(self, record: Record) -> Attributes:
        return {
            "messaging.system": "kafka",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self.group,
            "messaging.message.id": _event_id(record),
        }

    def _read(self, record: Record) -> Incoming:
        """Returns the argument of the record's handler. Raises MalformedEvent, RecordRefused."""
        if not self._mac.accepts(
            topic=record.topic, key=record.key, value=record.value, headers=record.headers
        ):
            raise RecordRefused("no MAC of this deployment's KAPPI_EVENT_SECRET")
        envelope = _event_of(record)
        if acts_too_early(envelope, now=self._clock()):
            raise RecordRefused("as of a moment to come, without an operator's fresh order")
        return envelope

    def _skips(self, record: Record, error: MalformedEvent) -> bool:
        return (
            isinstance(error, UnknownVersion)
            and error.topic == record.topic
            and record.topic in self._skips_versions_of
        )

    def _tell(self, record: Record, refusal: RecordRefused) -> None:
        self._refused += 1
        if time.monotonic() - self._refusals_told_at < TELL_REFUSALS_EVERY_S:
            return
        _log.error(
            "consumer.refused",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            refused=self._refused,
            reason=str(refusal),
        )
        self._refused, self._refusals_told_at = 0, time.monotonic()

    async def _handle(self, record: Record, envelope: Any) -> str:
        handler = self._handlers[record.topic]
        backoff_s, unexpected = FIRST_BACKOFF_S, 0
        while True:
            try:
                return _FATES[await handler(envelope)]
            except asyncio.CancelledError as error:
                if _being_cancelled():
                    raise
                # Something that the handler awaited was cancelled, not this consumer: a bug like any other.
                failure: BaseException = error
            except Exception as error:  # noqa: BLE001 - the consumer's edge: every failure gets a fate
                failure = error
            unexpected += not is_transient(failure)
            if is_poison(failure) or unexpected >= UNEXPECTED_ATTEMPTS:
                await self._send_to_dlq(record, failure)
                return "dead_lettered"
            _note_retry(record, envelope, failure, backoff_s)
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    async def _send_to_dlq(self, record: Record, error: BaseException) -> None:
        if self._limit is not None:
            self._limit.count()
        _log.error(
            "consumer.dead_lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            event_id=_event_id(record),
            error=str(error),
            error_type=type(error).__name__,
        )
        sending = asyncio.ensure_future(self._dead_letters.send_to_dlq(record, group=self.group, error=error))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            # It is counted and logged, so it is also sent: another letter may have stopped the consumer.
            with suppress(Exception):
                async with asyncio.timeout(LETTER_ENDING_S):
                    await sending
            raise


def is_transient(error: BaseException) -> bool:
    """Returns whether waiting may help. A group of failures counts as its worst."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_transient(each) for each in error.exceptions)
    if isinstance(error, _LOCAL_FILES):
        return False
    return isinstance(error, _TRANSIENT) or database_is_away(error)


def is_poison(error: BaseException) -> bool:
    """Returns whether a retry cannot help."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_poison(each) for each in error.exceptions)
    return isinstance(error, (Poison, StorageRefused)) or data_is_unstorable(error)


def _event_of(record: Record) -> Envelope[Any]:
    envelope = decode(record.value, record.headers)
    if (found := type(envelope.data).topic_name()) != record.topic:
        raise MalformedEvent(f"a {found} has no place on {record.topic}")
    return envelope


def _event_id(record: Record) -> str:
    """Returns the event's id as its headers have it; the position of a record without one."""
    return _header(record, "ce_id") or f"{record.topic}/{record.partition}/{record.offset}"


def _header(record: Record, name: str) -> str | None:
    value = next((value for found, value in record.headers if found == name), None)
    # Its writer may be anyone, and the text goes to a log line.
    return None if value is None else value.decode("ascii", "replace")[:MAX_HEADER_CHARACTERS]


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note_retry(record: Record, envelope: Incoming, error: BaseException, retry_in_s: float) -> None:
    metrics.CONSUMER_RETRIES.labels(record.topic).inc()
    _log.warning(
        "consumer.retry",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=str(envelope.id),
        error=str(error),
        error_type=type(error).__name__,
        retry_in_s=retry_in_s,
    )
