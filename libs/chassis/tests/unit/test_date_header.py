"""`Date` of answers and of refusals."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime

import pytest
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_chassis.http.date_header import dated
from kappi_chassis.http.edge import Message, Receive, Scope, Send
from kappi_chassis.http.server import HttpServer
from kappi_testkit.eventually import eventually


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def head_of_answer(port: int, request: bytes) -> bytes:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except ConnectionRefusedError as error:
        raise AssertionError("it does not listen yet") from error
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"), [(b"GET / HTTP/1.1\r\n\r\n", b"204"), (b"\x16\x03\x01\r\n\r\n", b"400")]
)
async def test_answers_and_refusals_have_one_date(request_bytes: bytes, status: bytes) -> None:
    port = free_port()
    server = HttpServer(dated(app), host=LOOPBACK, port=port)
    serving = asyncio.create_task(server.serve())
    try:
        head = await eventually(lambda: head_of_answer(port, request_bytes))
    finally:
        server.stop()
        await serving
    assert head.startswith(b"HTTP/1.1 " + status)
    (date,) = [line[6:] for line in head.split(b"\r\n") if line.lower().startswith(b"date: ")]
    assert abs(parsedate_to_datetime(date.decode()).timestamp() - time.time()) < 30


async def test_the_date_is_the_time_of_the_answer_not_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 784_111_777.0
    monkeypatch.setattr(time, "time", lambda: now)
    sent: list[Message] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        now += 100
        await app(scope, receive, send)

    async def keep(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await dated(slow)({"type": "http"}, receive, keep)
    assert sent[0]["headers"] == [(b"date", b"Sun, 06 Nov 1994 08:51:17 GMT")]
