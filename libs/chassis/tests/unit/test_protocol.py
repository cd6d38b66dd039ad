"""Requests that reach an app, and input that is refused before it becomes a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
import uvicorn
from kappi_chassis.http import protocol
from kappi_chassis.http.connections import ConnectionLimits, Connections
from kappi_chassis.http.direct_bytes import DIRECT
from kappi_chassis.http.edge import App, CutOff, Receive, Scope, Send
from kappi_chassis.http.protocol import MAX_HEAD_BYTES, BoundedHttpProtocol, cutting
from kappi_chassis.observability.access_log import AccessLog
from structlog.testing import capture_logs
from uvicorn.server import ServerState

DEADLINE_S = 10.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(app: App, limits: ConnectionLimits | None = None) -> AsyncIterator[int]:
    """Yields the port."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    config.load()
    state, connections = ServerState(), Connections(limits or ConnectionLimits())
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttpProtocol(config, server_state=state, app_state={}, connections=connections),
        "127.0.0.1",
        0,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(app) as port:
        yield port


async def answer_to(port: int, *pieces: bytes) -> bytes:
    """Returns the bytes received until the server closes or an answer is complete."""
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


async def test_ordinary_requests_are_served_also_in_pieces(port: int) -> None:
    for pieces in ([b"GET / HTTP/1.1\r\n\r\n"], [b"GE", b"T / HT", b"TP/1.1\r\nA: b", b"\r\n\r\n"]):
        assert (await answer_to(port, *pieces)).endswith(b"ok")


async def test_a_head_just_below_the_limit_is_accepted(port: int) -> None:
    filling = b"a" * (MAX_HEAD_BYTES - 200)
    assert (await answer_to(port, b"GET / HTTP/1.1\r\nA: ", filling, b"\r\n\r\n")).endswith(b"ok")


async def test_the_request_id_of_a_refusal_is_in_the_log(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kappi_chassis.http.refusals.access_log", AccessLog())
    with capture_logs() as logged:
        answer = await answer_to(port, b"this is no HTTP\r\n\r\n")
    (line,) = logged
    assert (line["event"], line["status"], line["code"]) == ("http.answered", 400, "bad_request")
    assert f"x-request-id: {line['request_id']}".encode() in answer


async def test_an_endless_head_is_refused(port: int) -> None:
    lines = [b"X: " + b"a" * 1000 + b"\r\n"] * (MAX_HEAD_BYTES // 1000 + 1)
    answer = await answer_to(port, b"GET / HTTP/1.1\r\n", *lines)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert code_of(answer) == "head_too_large"


async def test_the_limit_applies_to_each_head(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nA: ")
            await writer.drain()
            writer.write(b"a" * (MAX_HEAD_BYTES // 2) + b"\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_bytes_that_are_no_http_get_a_problem_document(port: int) -> None:
    answer = await answer_to(port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert code_of(answer) == "bad_request"


async def test_an_incomplete_head_times_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.5)
    assert code_of(await answer_to(port, b"GET / HTTP/1.1\r\nA: ")) == "request_timeout"


async def test_a_silent_connection_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_crowded_server_has_a_shorter_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CROWDED_HEAD_TIMEOUT_S", 0.5)
    async with serving(app, ConnectionLimits(in_all=1)) as port:
        assert code_of(await answer_to(port, b"GET / HTTP/1.1\r\nA: ")) == "request_timeout"


class Echo:
    """Answers with path and body once the test allows it. begun: requests that reached it."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.has_begun = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun += 1
        self.has_begun.set()
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        await self.may_answer.wait()
        answer = scope["path"].encode() + b" " + body
        length = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": answer})


BODIES = [
    (b"/none", b"", b""),
    (b"/length", b"Content-Length: 8\r\n", b"\r\n\r\nabcd"),
    (b"/chunked", b"Transfer-Encoding: chunked\r\n", b"4\r\nwxyz\r\n8\r\n\r\n\r\nGET \r\n0\r\n\r\n"),
    (b"/trailer", b"Transfer-Encoding: chunked\r\n", b"1\r\nq\r\n0\r\nA: b\r\n\r\n"),
    (b"/large", b"Content-Length: 70000\r\n", b"z" * 70_000),
    (b"/upgrade", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b""),
    (b"/java", b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 70000\r\n", b"j" * 70_000),
    (b"/again", b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n", b"GET "),
    (
        b"/stream",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
    ),
    (b"/after", b"Content-Length: 2\r\n", b"ok"),
]
ANSWERS = [
    b"/none ",
    b"/length \r\n\r\nabcd",
    b"/chunked wxyz\r\n\r\nGET ",
    b"/trailer q",
    b"/large " + b"z" * 70_000,
    b"/upgrade ",
    b"/java " + b"j" * 70_000,
    b"/again GET ",
    b"/stream abc",
    b"/after ok",
]


@pytest.mark.parametrize("size", [1 << 20, 1021, 7])
async def test_requests_sent_at_once_are_answered_in_order(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Echo()
    echo.may_answer.set()
    sent = b"".join(b"POST %b HTTP/1.1\r\n%b\r\n%b" % request for request in BODIES) * 2
    async with serving(echo) as port, asyncio.timeout(2 * DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send() -> None:
            for start in range(0, len(sent), size):
                writer.write(sent[start : start + size])
                await writer.drain()

        sending = asyncio.create_task(send())
        for expected in ANSWERS * 2:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert await reader.readexactly(length) == expected
        await sending
        writer.close()
    assert caplog.records == [], "a request for another protocol needs no warning"


@pytest.mark.parametrize(
    "first",
    [
        [b"GET / HTTP/1.1\r\n\r\n"],
        [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        # The end of its head comes with the body.
        [b"POST / HTTP/1.1\r\nContent-Length: 90000\r\n\r", b"\n" + bytes(90_000)],
    ],
)
async def test_bytes_after_a_request_are_not_read_until_it_is_answered(first: list[bytes]) -> None:
    echo = Echo()
    burst = b"GET / HTTP/1.1\r\n\r\n" * 500_000
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for piece in first:
            writer.write(piece)
            await asyncio.sleep(0.05)
        writer.write(burst)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        assert echo.begun == 1
        assert writer.transport.get_write_buffer_size() > len(burst) // 4, "the server does not read the rest"
        echo.may_answer.set()
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(1_000):
                await reader.readuntil(b"content-length: 2\r\n\r\n/ ")
        writer.transport.abort()


async def test_a_silent_client_is_evicted_for_a_new_one() -> None:
    async with serving(app, ConnectionLimits(in_all=4)) as port, asyncio.timeout(DEADLINE_S):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert (await answer_to(port, b"GET / HTTP/1.1\r\n\r\n")).endswith(b"ok")
        for reader, _ in silent[:16]:
            assert await reader.read() == b""
        for _, writer in silent:
            writer.close()


async def test_too_many_connections_of_an_address_are_refused_with_429() -> None:
    echo = Echo()
    async with serving(echo, ConnectionLimits(of_address=1)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await echo.has_begun.wait()
        answer = await answer_to(port)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: " in answer.lower()
        assert code_of(answer) == "too_many_connections"
        writer.close()


async def test_an_evicted_client_that_does_not_read_is_disconnected() -> None:
    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"x" * 24_000_000
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})

    async with serving(much, ConnectionLimits(in_all=1)) as port, asyncio.timeout(2 * DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        other_reader, other = await asyncio.open_connection("127.0.0.1", port)
        other.write(b"GET / HTTP/1.1\r\n\r\n")
        await other_reader.readuntil(b"\r\n\r\n")
        received = 0
        with suppress(ConnectionResetError):
            while piece := await reader.read(1 << 20):
                received += len(piece)
        assert received < 24_000_000
        writer.transport.abort()
        other.transport.abort()


async def test_an_interrupted_answer_closes_the_connection_without_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        raise CutOff

    async with serving(cutting(breaks_off)) as port, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            assert not (await reader.read()).endswith(b"ok")
        writer.close()
    assert caplog.records == []


async def test_an_app_is_called_when_its_client_is_gone() -> None:
    gone, answered = asyncio.Event(), asyncio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["kappi.when_lost"](gone.set)
        await gone.wait()
        answered.set()

    async with serving(waits) as port, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert not gone.is_set()
        writer.close()
        await answered.wait()


async def test_an_app_is_not_called_after_its_answer() -> None:
    calls: list[None] = []

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        scope["kappi.when_lost"](lambda: calls.append(None))
        await app(scope, receive, send)

    async with serving(listens) as port:
        assert (await answer_to(port, b"GET / HTTP/1.1\r\n\r\n")).endswith(b"ok")
        await asyncio.sleep(0)
    assert calls == []


async def test_an_app_reads_a_body_from_the_socket_and_the_next_request_follows() -> None:
    taken = asyncio.Event()

    async def taking(scope: Scope, receive: Receive, send: Send) -> None:
        body = scope[DIRECT].take_body()
        taken.set()
        whole = body.received
        while body.left:
            await body.socket.readable()
            piece = body.socket.socket.recv(body.left)
            whole += piece
            body.left -= len(piece)
        body.finish(0)
        if body.socket is not None:
            body.socket.close()
        length = (b"content-length", str(len(whole)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": whole})

    async with serving(taking) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\n"
        for first, rest in ((b"abc", b"def"), (b"", b"ghijkl"), (b"mnopqr", b"")):
            writer.write(head + first)
            await taken.wait()
            taken.clear()
            writer.write(rest)
            async with asyncio.timeout(DEADLINE_S):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(6) == first + rest
        writer.close()


async def test_the_connection_drops_what_an_app_left_of_a_body() -> None:
    taken = asyncio.Event()

    async def taking(scope: Scope, receive: Receive, send: Send) -> None:
        body = scope[DIRECT].take_body()
        taken.set()
        await body.socket.readable()
        body.finish(body.left - len(body.socket.socket.recv(1)))
        body.socket.close()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(taking) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE_S):
            for rest in (b"cdef", b"cdef"):
                writer.write(b"PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\n")
                await taken.wait()
                taken.clear()
                writer.write(b"ab")
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"ok"
                writer.write(rest)
        writer.close()


async def test_the_connection_ends_after_a_body_that_was_not_read() -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        body = scope[DIRECT].take_body()
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})
        body.socket.close()

    async with serving(refusing) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc")
        async with asyncio.timeout(DEADLINE_S):
            answer = await reader.read()
        assert b"connection: close" in answer
        assert answer.endswith(b"no")
        writer.close()


async def test_an_app_that_waits_for_bytes_notices_that_its_connection_was_cut() -> None:
    noticed = asyncio.Event()

    async def cutting_itself(scope: Scope, receive: Receive, send: Send) -> None:
        body = scope[DIRECT].take_body()
        waiting = asyncio.ensure_future(body.socket.readable())
        scope[DIRECT].cut()
        await waiting
        with suppress(ConnectionError):
            assert body.socket.socket.recv(1) == b""
        body.socket.close()
        noticed.set()

    async with serving(cutting_itself) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc")
        async with asyncio.timeout(DEADLINE_S):
            await noticed.wait()
        writer.close()


@pytest.mark.parametrize("what", ["body", "answer"])
async def test_an_app_cannot_take_the_socket_of_a_client_that_is_gone(what: str) -> None:
    """The number of its descriptor may belong to another connection by then."""
    gone, refused = asyncio.Event(), asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        scope["kappi.when_lost"](gone.set)
        await gone.wait()
        if what == "body":
            with pytest.raises(ConnectionResetError):
                scope[DIRECT].take_body()
        else:
            with pytest.raises(ConnectionResetError):
                await scope[DIRECT].take_answer(6)
        refused.set()

    async with serving(late) as port, asyncio.timeout(DEADLINE_S):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT / HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc")
        await writer.drain()
        writer.close()
        await refused.wait()
