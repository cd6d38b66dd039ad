"""The three results of a record, by the exception of its handler."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from kappi_chassis.bus.dead_letter_limit import DeadLetterLimit, TooManyDeadLetters
from kappi_chassis.bus.mac import EventMac
from kappi_chassis.bus.processor import Poison, Processor, Record, Transient, is_poison, is_transient
from kappi_chassis.observability import metrics
from kappi_chassis.observability.logs import _add_ids
from kappi_chassis.storage import StorageRefused, StorageUnavailable
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.testing import capture_logs

EVENT = Envelope(
    id=uuid4(),
    source="/tests",
    time=datetime.now(UTC),
    sequence=1,
    data=GalleryDeleted(gallery_id=uuid4(), owner_id=None, reason="requested", deleted_at=datetime.now(UTC)),
)


def record(*, topic: str = "GalleryDeleted", headers: Any = None) -> Record:
    return Record(
        topic=topic,
        partition=0,
        offset=7,
        key=b"k",
        value=EVENT.value(),
        headers=EVENT.headers() if headers is None else headers,
    )


class DeadLettersOfTest:
    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
        self.errors.append(error)


class Failing:
    """Raises the given exceptions one after the other, then handles."""

    def __init__(self, *failures: BaseException) -> None:
        self.calls = 0
        self._failures = iter(failures)

    async def __call__(self, _: Envelope[Any]) -> bool:
        self.calls += 1
        if failure := next(self._failures, None):
            raise failure
        return True


@pytest.fixture
def dead_letters() -> DeadLettersOfTest:
    return DeadLettersOfTest()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_chassis.bus.processor.FIRST_BACKOFF_S", 0.0)


async def run(handler: Failing, dead_letters: DeadLettersOfTest, found: Record | None = None) -> None:
    topic = found.topic if found else "GalleryDeleted"
    processor = Processor(group="tests", handlers={topic: handler}, dead_letters=dead_letters)
    async with asyncio.timeout(10):
        await processor.process(found or record())


@pytest.mark.parametrize(
    "error",
    [
        Transient("later"),
        StorageUnavailable("timed out"),
        ConnectionRefusedError(111, "refused"),
        PoolTimeout("QueuePool limit of size 10 overflow 0 reached"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        ExceptionGroup("side by side", [Transient("later"), TimeoutError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_transient_failures_are_retried_without_limit(
    error: Exception, dead_letters: DeadLettersOfTest
) -> None:
    handler = Failing(*[error] * 8)
    await run(handler, dead_letters)
    assert handler.calls == 9
    assert dead_letters.errors == []


@pytest.mark.parametrize(
    "error",
    [
        Poison("never"),
        StorageRefused("no such bucket"),
        asyncpg.UntranslatableCharacterError("\\u0000 cannot be converted to text"),
        ExceptionGroup("side by side", [Transient("later"), Poison("never")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_permanent_failures_become_dead_letters_at_once(
    error: Exception, dead_letters: DeadLettersOfTest
) -> None:
    handler = Failing(error)
    await run(handler, dead_letters)
    assert (handler.calls, dead_letters.errors) == (1, [error])


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a bug"),
        FileNotFoundError(2, "no such file"),
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
        ExceptionGroup("side by side", [Transient("later"), KeyError("a bug")]),
        asyncio.CancelledError("something it awaited was cancelled"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_bug_becomes_a_dead_letter_after_a_few_attempts(
    error: BaseException, dead_letters: DeadLettersOfTest
) -> None:
    handler = Failing(*[error] * 50)
    await run(handler, dead_letters)
    assert (handler.calls, dead_letters.errors) == (5, [error])


async def test_cancelling_the_consumer_is_no_failure(dead_letters: DeadLettersOfTest) -> None:
    begun = asyncio.Event()

    async def hangs(_: Envelope[Any]) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    processor = Processor(group="tests", handlers={"GalleryDeleted": hangs}, dead_letters=dead_letters)
    task = asyncio.create_task(processor.process(record()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dead_letters.errors == []


async def test_a_dead_letter_is_sent_although_the_consumer_stops_meanwhile() -> None:
    begun = asyncio.Event()

    class Slow(DeadLettersOfTest):
        async def send_to_dlq(self, record: Record, *, group: str, error: BaseException) -> None:
            begun.set()
            await asyncio.sleep(0.01)
            await super().send_to_dlq(record, group=group, error=error)

    slow = Slow()
    task = asyncio.create_task(run(Failing(Poison("damaged")), slow))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(slow.errors) == 1


@pytest.mark.parametrize(
    "found",
    [
        record(topic="MediaDeleted"),
        record(headers=(*EVENT.headers()[:1], ("ce_id", None))),
        record(headers=tuple((name, None) for name, _ in EVENT.headers())),
        record(headers=(*EVENT.headers(), ("ce_time", b"2026-01-01T00:00:00"))),
    ],
    ids=["another topic's event", "no id", "null headers", "a time without offset"],
)
async def test_a_record_that_is_no_event_of_the_topic_becomes_a_dead_letter(
    found: Record, dead_letters: DeadLettersOfTest
) -> None:
    handler = Failing()
    await run(handler, dead_letters, found)
    assert (handler.calls, len(dead_letters.errors)) == (0, 1)


def test_nothing_is_both_transient_and_poison() -> None:
    for error in (Transient(), Poison(), StorageRefused("no"), ValueError(), OSError()):
        assert not (is_transient(error) and is_poison(error))


async def test_many_forged_records_are_dropped_counted_and_logged_once(
    dead_letters: DeadLettersOfTest,
) -> None:
    handler, mac = Failing(), EventMac(["a-secret-of-the-deployment"])
    processor = Processor(
        group="tests", handlers={"GalleryDeleted": handler}, dead_letters=dead_letters, mac=mac
    )
    refused = metrics.CONSUMER_RECORDS.labels("GalleryDeleted", "refused")
    before = refused._value.get()
    forged = [record(), record(headers=()), record(headers=(*EVENT.headers(), ("kappi_mac", b"0" * 64)))]
    with capture_logs() as logs:
        for _ in range(100):
            for each in forged:
                await processor.process(each)
    assert handler.calls == 0
    assert not dead_letters.errors
    assert refused._value.get() == before + 300
    assert [(line["event"], line["topic"]) for line in logs] == [("consumer.refused", "GalleryDeleted")]
    assert str(EVENT.data.gallery_id) not in str(logs)

    good = record()
    headers = mac.signed(topic=good.topic, key=good.key, value=good.value, headers=good.headers)
    await processor.process(record(headers=headers))
    assert handler.calls == 1


TRACEPARENT = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


@pytest.mark.parametrize(
    ("failures", "headers", "event"),
    [
        ((), EVENT.headers(), "consumer.handled"),
        ((Poison("never"),), EVENT.headers(), "consumer.dead_lettered"),
        # It lacks most headers of an event.
        ((), (("ce_id", str(EVENT.id).encode()),), "consumer.dead_lettered"),
    ],
    ids=["handled", "poison", "malformed"],
)
async def test_a_line_about_a_record_names_its_event_and_its_trace(
    dead_letters: DeadLettersOfTest,
    failures: tuple[BaseException, ...],
    headers: Any,
    event: str,
) -> None:
    with capture_logs(processors=[_add_ids]) as lines:
        await run(Failing(*failures), dead_letters, record(headers=(*headers, TRACEPARENT)))
    (line,) = [line for line in lines if line["event"] == event]
    assert (line["event_id"], line["trace_id"]) == (str(EVENT.id), "4bf92f3577b34da6a3ce929d0e0e4736")


async def test_the_record_beyond_the_limit_is_no_dead_letter(dead_letters: DeadLettersOfTest) -> None:
    processor = Processor(
        group="tests",
        handlers={"GalleryDeleted": Failing(*[Poison("never")] * 3)},
        dead_letters=dead_letters,
        limit=DeadLetterLimit(2, within=timedelta(minutes=1)),
    )
    await processor.process(record())
    await processor.process(record())
    with pytest.raises(TooManyDeadLetters):
        await processor.process(record())
    assert len(dead_letters.errors) == 2


@pytest.mark.parametrize(
    ("skips", "version", "fate"),
    [
        ((), "GalleryDeleted.v2", "dead_lettered"),
        (("GalleryCreated",), "GalleryDeleted.v2", "dead_lettered"),
        (("GalleryDeleted",), "GalleryDeleted.v2", "skipped"),
        (("GalleryDeleted",), "GalleryCreated.v2", "dead_lettered"),
        (("GalleryDeleted",), "GalleryDeleted.v2x", "dead_lettered"),
    ],
)
async def test_an_unknown_version_is_skipped_and_counted_where_that_is_wanted(
    dead_letters: DeadLettersOfTest, skips: tuple[str, ...], version: str, fate: str
) -> None:
    handler = Failing()
    processor = Processor(
        group="tests",
        handlers={"GalleryDeleted": handler},
        dead_letters=dead_letters,
        skips_versions_of=skips,
    )
    headers = tuple({**dict(EVENT.headers()), "ce_type": f"gg.kappi.{version}".encode()}.items())
    counted = metrics.CONSUMER_RECORDS.labels("GalleryDeleted", fate)
    before = counted._value.get()
    await processor.process(record(headers=headers))
    assert counted._value.get() == before + 1
    assert len(dead_letters.errors) == (fate == "dead_lettered")
    assert handler.calls == 0
