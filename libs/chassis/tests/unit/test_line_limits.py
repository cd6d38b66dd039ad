"""Limits of log lines: what libraries repeat, and answers with an error."""

from __future__ import annotations

import logging

import pytest
from kappi_chassis.observability import metrics
from kappi_chassis.observability.access_log import AccessLog
from kappi_chassis.observability.line_limit import WINDOW_S, LineLimit
from kappi_chassis.observability.logs import LibraryLimit
from structlog.testing import capture_logs


class Watch:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


class Library(logging.Handler):
    """The logger of a library, and the messages that pass."""

    def __init__(self, limit: LineLimit) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.log = logging.Logger("aiokafka.of.test")
        self.log.addHandler(self)
        self.addFilter(LibraryLimit(limit))

    def emit(self, record: logging.LogRecord) -> None:
        self.passed.append(record.getMessage())


@pytest.fixture
def library(watch: Watch) -> Library:
    return Library(LineLimit(lines=3, keys=5, monotonic=watch))


def left_out(kind: str) -> float:
    return float(metrics.LOG_LINES_LEFT_OUT.labels(kind)._value.get())


def test_a_library_that_repeats_itself_is_heard_a_few_times_a_minute(library: Library, watch: Watch) -> None:
    before = left_out("library")
    for attempt in range(1_000):
        library.log.error("Unable to connect to node %s: attempt %d", 1, attempt)
    assert len(library.passed) == 3
    assert left_out("library") - before == 997
    watch.now += WINDOW_S
    with capture_logs() as told:
        library.log.error("Unable to connect to node %s: attempt %d", 1, 1_000)
    assert len(library.passed) == 4
    (line,) = told
    assert (line["event"], line["lines"]) == ("log.left_out", 997)
    assert (line["logger"], line["message"]) == (
        "aiokafka.of.test",
        "Unable to connect to node %s: attempt %d",
    )


def test_messages_that_differ_only_in_numbers_are_one(library: Library) -> None:
    for node in range(100):
        whole = f"node {node} at 0x7f{node:04x} is away"
        library.log.warning(whole)
    assert len(library.passed) == 3


def test_the_memory_for_messages_is_bounded(library: Library) -> None:
    for letter in "abcdefghijklmnopqrstuvwxyz":
        whole = f"message {letter}"
        library.log.warning(whole)
    assert len(library.passed) == 5 + 3


def test_events_of_the_system_itself_and_its_migrations_are_not_limited() -> None:
    limit = LibraryLimit(LineLimit(lines=1, keys=1))
    record = logging.makeLogRecord({"msg": {"event": "consumer.retry"}, "name": "kappi_chassis.bus"})
    assert all(limit.filter(record) for _ in range(10))
    migrated = logging.makeLogRecord({"msg": "Running %s", "name": "alembic.runtime.migration"})
    assert all(limit.filter(migrated) for _ in range(10))


def test_a_flood_of_errors_of_one_client_hides_no_error_of_another(watch: Watch) -> None:
    log = AccessLog(LineLimit(lines=5, keys=10, monotonic=watch), LineLimit(lines=8, keys=1, monotonic=watch))
    before = left_out("answers")
    with capture_logs() as lines:
        for _ in range(100):
            log.note(client="flooding", level="info", status=404)
        log.note(client="other", level="info", status=409)
    assert [line["status"] for line in lines] == [404] * 5 + [409]
    assert left_out("answers") - before == 95
    watch.now += WINDOW_S
    with capture_logs() as lines:
        log.note(client="other", level="info", status=410)
    assert [line["event"] for line in lines] == ["http.answers_not_logged", "http.answered"]
    assert lines[0]["lines"] == 95


def test_errors_of_many_clients_are_bounded_together(watch: Watch) -> None:
    log = AccessLog(LineLimit(lines=5, keys=10, monotonic=watch), LineLimit(lines=8, keys=1, monotonic=watch))
    with capture_logs() as lines:
        for client in range(100):
            log.note(client=str(client), level="info", status=404)
    assert len(lines) == 8


def test_with_the_access_log_nothing_is_left_out(watch: Watch) -> None:
    log = AccessLog(LineLimit(lines=1, keys=1, monotonic=watch), LineLimit(lines=1, keys=1, monotonic=watch))
    log.every = True
    with capture_logs() as lines:
        for _ in range(20):
            log.note(client="one", level="info", status=404)
    assert len(lines) == 20
