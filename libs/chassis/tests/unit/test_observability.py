from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog
from kappi_chassis.observability import context
from kappi_chassis.observability.health import Health
from kappi_chassis.observability.logs import configure_logging, get_logger, redact
from kappi_chassis.observability.secret_shapes import REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Authorization",
        "access_key",
        "accesskey",
        "x_gallery_key",
        "contributor_key",
        "refresh_token",
        "s3_secret",
        "grant",
    ],
)
def test_secret_fields_are_redacted(name: str) -> None:
    assert redact(None, "info", {name: "hunter2"}) == {name: REDACTED}


@pytest.mark.parametrize(
    "text",
    [
        "https://s3/b/k?X-Amz-Credential=AKIA%2F1&X-Amz-Signature=hunter2",
        "GET /store/k?expires=1&signature=hunter2 HTTP/1.1",
        "Authorization: Bearer hunter2",
        "X-Contributor-Key: hunter2",
        "cannot reach postgresql://kappi:hunter2@127.0.0.1/db",
    ],
)
def test_secrets_inside_text_are_redacted(text: str) -> None:
    cleaned = redact(None, "info", {"event": text})["event"]
    assert "hunter2" not in cleaned
    assert REDACTED in cleaned


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"X-Gallery-Key": "hunter2", "X-Contributor-Key": "hunter2", "Authorization": "hunter2"}},
        ["GET https://s3/k?X-Amz-Signature=hunter2", ("?signature=hunter2",)],
        ValueError("postgresql://kappi:hunter2@db/x"),
        b"hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJFZERTQSJ9.hunter2.hunter2",
        "the key kappi_hunter2hunter2hunter2hunter2 was used",
    ],
    ids=["mapping", "list", "exception", "bytes", "PEM", "JWT", "access key"],
)
def test_secrets_inside_other_kinds_of_values_are_redacted(value: object) -> None:
    assert "hunter2" not in str(redact(None, "info", {"event": "x", "value": value}))


def test_ordinary_fields_are_not_redacted() -> None:
    event = {
        "event": "gallery.created",
        "code_length": 4,
        "key": "galleries/1/2/original",
        "url": "http://127.0.0.1:8000/v1/g/abcd?limit=5",
        "errors": [],
    }
    assert redact(None, "info", dict(event)) == event


@pytest.fixture
def fresh_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.usefixtures("fresh_logging")
def test_lines_are_json_with_ids_from_both_kinds_of_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", level="INFO", renderer="json")
    context.request_id.set("request-1")
    with context.work_caused_by("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
        get_logger("a").info("thing.happened", password="hunter2", count=3)
        logging.getLogger("library").warning("went to %s", "postgresql://u:hunter2@h/db")
    context.request_id.set("")
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["thing.happened", f"went to postgresql://u:{REDACTED}@h/db"]
    assert all(line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736" for line in lines)
    assert all(line["request_id"] == "request-1" and line["service"] == "test" for line in lines)
    assert lines[0]["password"] == REDACTED


@pytest.mark.usefixtures("fresh_logging")
def test_a_text_with_line_breaks_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", level="INFO", renderer="console")
    get_logger("a").info("thing.happened", path="/x\n2026-01-01 [info] forged.line", esc="\x1b[2J")
    logging.getLogger("library").warning("said %s", "a\r\nforged: yes")
    output = capsys.readouterr().out
    assert len(output.splitlines()) == 2
    assert "\x1b[2J" not in output


@pytest.mark.usefixtures("fresh_logging")
@pytest.mark.parametrize("renderer", ["json", "console"])
def test_a_traceback_is_redacted(renderer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(service="test", level="INFO", renderer=renderer)

    def fails() -> None:
        raise OSError("GET https://s3/b/k?X-Amz-Signature=hunter2")

    try:
        fails()
    except OSError:
        get_logger("a").exception("thing.failed")
    output = capsys.readouterr().out
    assert "Traceback" in output
    assert "OSError" in output
    assert "Signature=hunter2" not in output


@pytest.mark.parametrize(
    "incoming", [None, "", "garbage", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "01-x-y-z"]
)
def test_a_trace_begins_if_the_request_has_none(incoming: str | None) -> None:
    first, second = context.continue_trace(incoming), context.continue_trace(incoming)
    assert first != second
    assert context.continue_trace(first)[3:35] == first[3:35]


async def test_readiness_lists_each_dependency_and_draining() -> None:
    health = Health()

    async def fine() -> None: ...

    async def broken() -> None:
        raise OSError("refused")

    health.add("database", fine)
    assert await health.report() == (True, {"database": "ok"})
    health.add("store", broken)
    assert await health.report() == (False, {"database": "ok", "store": "unavailable"})
    health.drain()
    assert (await health.report())[1]["process"] == "draining"


async def test_a_watched_dependency_is_reported_and_does_not_affect_readiness() -> None:
    health = Health()

    async def broken() -> None:
        raise OSError("refused")

    health.watch("consumer", broken)
    assert await health.report() == (True, {"consumer": "unavailable"})
    health.add("database", broken)
    assert (await health.report())[0] is False


async def test_a_dependency_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_chassis.observability.health.CHECK_TIMEOUT_S", 0.01)
    health = Health()
    health.add("broker", asyncio.Event().wait)  # type: ignore[arg-type]
    assert await health.report() == (False, {"broker": "unavailable"})
