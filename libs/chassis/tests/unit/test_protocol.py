"""What reaches an app, and what is refused before it is a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvicorn
from kappi_chassis.http import protocol
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_chassis.http.protocol import MAX_HEAD_BYTES, BoundedHttpProtocol
from uvicorn.server import ServerState

DEADLINE_S = 10.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpProtocol(config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    yield server.sockets[0].getsockname()[1]
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """What comes back until the server closes, or an answer is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await reader.readexactly(length)
    finally:
        writer.close()


def code_of(answer: bytes) -> str:
    return str(msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["code"])


async def test_ordinary_requests_pass_also_in_pieces(port: int) -> None:
    for pieces in ([b"GET / HTTP/1.1\r\n\r\n"], [b"GE", b"T / HT", b"TP/1.1\r\nA: b", b"\r\n\r\n"]):
        assert (await answer_to(port, *pieces)).endswith(b"ok")


async def test_a_head_of_just_under_the_limit_passes(port: int) -> None:
    filling = b"a" * (MAX_HEAD_BYTES - 200)
    assert (await answer_to(port, b"GET / HTTP/1.1\r\nA: ", filling, b"\r\n\r\n")).endswith(b"ok")


async def test_an_endless_head_is_refused(port: int) -> None:
    lines = [b"X: " + b"a" * 1000 + b"\r\n"] * (MAX_HEAD_BYTES // 1000 + 1)
    answer = await answer_to(port, b"GET / HTTP/1.1\r\n", *lines)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert code_of(answer) == "head_too_large"


async def test_the_limit_counts_each_head_anew(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nA: ")
            await writer.drain()
            writer.write(b"a" * (MAX_HEAD_BYTES // 2) + b"\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_what_is_no_http_gets_a_problem_document(port: int) -> None:
    answer = await answer_to(port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert code_of(answer) == "bad_request"


async def test_a_head_that_never_ends_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.5)
    assert code_of(await answer_to(port, b"GET / HTTP/1.1\r\nA: ")) == "request_timeout"


async def test_a_connection_that_says_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
