"""The bytes of an answer, by the request that it answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kappi_chassis.http.edge import BODY_FOLLOWS
from kappi_chassis.http.exchange import Exchange


class Line:
    """A connection that records what is written. bodies: whether the request's body may be read."""

    drains = False

    def __init__(self) -> None:
        self.is_blocked = False
        self.written = b""
        self.writes = 0
        self.closed = False
        self.answers = 0
        self.pauses = 0

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    write_last = write

    def close(self) -> None:
        self.closed = True

    def pause_body(self) -> None:
        self.pauses += 1

    def resume_body(self) -> None:
        self.pauses = 0

    async def until_writable(self) -> None:
        raise AssertionError

    def answered(self) -> None:
        self.answers += 1


def exchange(
    method: str = "GET", *, keep_alive: bool = True, may_chunk: bool = True, expects_continue: bool = False
) -> tuple[Line, Exchange]:
    line = Line()
    made = Exchange(
        line,
        {"method": method},
        keep_alive=keep_alive,
        expects_continue=expects_continue,
        may_chunk=may_chunk,
    )
    return line, made


async def answer(made: Exchange, status: int, *headers: tuple[bytes, bytes], body: bytes = b"") -> None:
    await made.send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await made.send({"type": "http.response.body", "body": body})


async def test_a_body_of_unknown_length_is_chunked() -> None:
    line, made = exchange()
    await answer(made, 200, (b"a", b"b"), body=b"hello")
    assert line.written == (
        b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert (line.answers, line.closed) == (1, False)


async def test_a_head_waits_for_a_body_that_follows_at_once() -> None:
    line, made = exchange()
    length = [(b"content-length", b"2")]
    await made.send({"type": "http.response.start", "status": 200, "headers": length, BODY_FOLLOWS: True})
    assert line.writes == 0
    await made.send({"type": "http.response.body", "body": b"ok"})
    assert (line.written, line.writes) == (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 1)


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    line, made = exchange(keep_alive=False, may_chunk=False)
    await answer(made, 200, body=b"hello")
    assert line.written == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"
    assert line.closed


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_some_answers_have_no_body(method: str, status: int) -> None:
    line, made = exchange(method)
    await answer(made, status)
    assert line.written.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in line.written
    assert line.answers == 1


async def test_head_keeps_the_length_and_leaves_the_body_out() -> None:
    line, made = exchange("HEAD")
    await answer(made, 200, (b"content-length", b"5"), body=b"hello")
    assert line.written == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"


@pytest.mark.parametrize("body", [b"shor", b"longer"])
async def test_a_body_has_its_declared_length(body: bytes) -> None:
    _, made = exchange()
    with pytest.raises(RuntimeError, match="Content-Length"):
        await answer(made, 200, (b"content-length", b"5"), body=body)


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rb", b"a\x00b", b"\x7f"])
async def test_a_header_cannot_begin_another(value: bytes) -> None:
    line, made = exchange()
    with pytest.raises(RuntimeError, match="control character"):
        await answer(made, 200, (b"a", value))
    assert line.written == b""


async def test_the_connection_decides_the_framing() -> None:
    line, made = exchange()
    given = [(b"transfer-encoding", b"gzip"), (b"connection", b"Close"), (b"content-length", b"0")]
    await answer(made, 200, *given)
    assert line.written == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    assert line.closed


async def test_100_continue_is_sent_once_and_only_when_the_body_is_wanted() -> None:
    line, made = exchange("POST", expects_continue=True)
    made.add(b"{}")
    assert line.written == b""
    await made.receive()
    made.end_body()
    assert await made.receive() == {"type": "http.request", "body": b"", "more_body": False}
    assert line.written == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_body_that_is_not_read_is_paused() -> None:
    line, made = exchange("POST")
    made.add(bytes(100_000))
    assert line.pauses == 1
    assert len((await made.receive())["body"]) == 100_000
    receiving = asyncio.create_task(made.receive())
    await asyncio.sleep(0)
    assert line.pauses == 0
    made.disconnect()
    assert await receiving == {"type": "http.disconnect"}


async def test_an_app_that_fails_before_its_answer_gets_a_500() -> None:
    line, made = exchange()

    async def fails(*_: Any) -> None:
        raise RuntimeError

    await made.run(fails)
    assert line.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert line.closed


async def test_an_app_that_fails_in_its_answer_loses_the_connection() -> None:
    line, made = exchange()

    async def fails(*_: Any) -> None:
        await made.send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    await made.run(fails)
    assert line.closed
    assert not line.written.endswith(b"0\r\n\r\n")
