"""What a connection to a service makes of its bytes, and when it can carry another call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kappi_gateway.upstream.answer import Answer
from kappi_gateway.upstream.connection import MAX_HEAD_BYTES, Connection, Lost, Silent, Stream

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
READ_AHEAD = 1000


class Transport(asyncio.Transport):
    """Records what is written and whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def writelines(self, parts: Any) -> None:
        self.written += b"".join(parts)

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Owner:
    def __init__(self) -> None:
        self.ends: list[bool] = []
        self.closed_ones = 0

    def ended(self, connection: Connection) -> None:
        self.ends.append(connection.is_open)

    def closed(self, _: Connection) -> None:
        self.closed_ones += 1


class Talk:
    """One connection. ask: begins a call."""

    def __init__(self) -> None:
        self.owner, self.transport = Owner(), Transport()
        self.connection = Connection(self.owner, keep_s=60)
        self.connection.connection_made(self.transport)

    def ask(
        self, *, head_only: bool = False, body: bytes | Stream | None = None, silence_s: float = 60
    ) -> Answer:
        answer = Answer(self.connection, head_only=head_only, read_ahead_bytes=READ_AHEAD)
        self.connection.call(GET, body, answer, silence_s=silence_s)
        return answer

    def receive(self, data: bytes, *, size: int = 1 << 20) -> None:
        for start in range(0, len(data), size):
            self.connection.data_received(data[start : start + size])

    @property
    def is_reusable(self) -> bool:
        return self.owner.ends == [True] and self.connection.is_open


ANSWERS = [
    (OK + b"A: b\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    (OK + b"A: b\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nT: x\r\n\r\n", 200, b"hello"),
    (b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\nA: b\r\nContent-Length: 5\r\n\r\n", 304, b""),
    (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + OK + b"A: b\r\nContent-Length: 0\r\n\r\n", 200, b""),
    (b"HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n" + OK + b"A: b\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(("data", "status", "body"), ANSWERS)
async def test_an_answer_is_the_same_in_pieces_of_any_size(
    data: bytes, status: int, body: bytes, size: int
) -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(data, size=size)
    await answer.head()
    assert (answer.status, await answer.read(), answer.header(b"a")) == (status, body, b"b")
    assert answer.header(b"t") is None, "a trailer is no header"
    assert talk.is_reusable


async def test_an_answer_to_head_has_no_body() -> None:
    talk = Talk()
    answer = talk.ask(head_only=True)
    talk.receive(OK + b"Content-Length: 5\r\n\r\n")
    assert (await answer.read(), answer.header(b"content-length")) == (b"", b"5")
    assert talk.is_reusable
    again = talk.ask()
    talk.receive(OK + b"Content-Length: 2\r\n\r\nok")
    assert await again.read() == b"ok"


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        OK + b"Content-Length: +5\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"A: b\nC: d\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        OK + b"A: " + b"b" * MAX_HEAD_BYTES,
    ],
)
async def test_what_is_no_answer_ends_the_connection(data: bytes) -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(data, size=1000)
    with pytest.raises(Lost) as failure:
        await answer.head()
    assert not failure.value.unanswered, "it must not be repeated"
    assert (talk.connection.is_open, talk.owner.ends) == (False, [False])


@pytest.mark.parametrize("surplus", [b"x", OK + b"Content-Length: 0\r\n\r\n"])
@pytest.mark.parametrize("head_only", [False, True])
async def test_bytes_after_an_answer_end_the_connection(surplus: bytes, head_only: bool) -> None:
    talk = Talk()
    answer = talk.ask(head_only=head_only)
    talk.receive(OK + b"Content-Length: 0\r\n\r\n" + surplus)
    assert await answer.read() == b""
    assert not talk.connection.is_open


async def test_bytes_without_a_request_end_the_connection() -> None:
    talk = Talk()
    talk.receive(OK + b"Content-Length: 0\r\n\r\n")
    assert not talk.connection.is_open
    assert talk.owner.closed_ones == 1


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", OK + b"Connection: close\r\n"])
async def test_a_service_that_ends_the_connection_gets_no_further_call(head: bytes) -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(head + b"Content-Length: 2\r\n\r\nok")
    assert await answer.read() == b"ok"
    assert (talk.owner.ends, talk.connection.is_open) == ([False], False)


async def test_a_body_without_a_length_lasts_until_the_end_of_the_connection() -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(OK + b"\r\nhel")
    talk.receive(b"lo")
    assert not answer.is_complete
    talk.connection.connection_lost(None)
    assert await answer.read() == b"hello"


@pytest.mark.parametrize(
    "begun",
    [
        OK + b"Content-Length: 5\r\n\r\nhel",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
async def test_a_body_that_ends_early_is_a_failure(begun: bytes) -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(begun)
    talk.connection.connection_lost(None)
    with pytest.raises(Lost):
        await answer.read()


@pytest.mark.parametrize(("begun", "unanswered"), [(b"", True), (b"H", False)])
async def test_a_lost_call_tells_whether_a_byte_of_the_answer_came(begun: bytes, unanswered: bool) -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(begun)
    talk.connection.connection_lost(None)
    with pytest.raises(Lost) as failure:
        await answer.head()
    assert failure.value.unanswered == unanswered


async def test_a_body_that_is_not_taken_pauses_the_service() -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(OK + b"Content-Length: 3000\r\n\r\n" + bytes(READ_AHEAD))
    pauses = [talk.transport.paused]
    talk.receive(b"x")
    pauses.append(talk.transport.paused)
    assert len(await answer.piece()) == READ_AHEAD + 1
    pauses.append(talk.transport.paused)
    assert pauses == [False, True, False]
    talk.receive(bytes(1999))
    assert answer.is_complete
    assert len(await answer.piece()) == 1999
    assert answer.at_end


async def test_an_answer_that_is_not_wanted_ends_the_connection() -> None:
    talk = Talk()
    answer = talk.ask()
    talk.receive(OK + b"Content-Length: 5\r\n\r\nhel")
    answer.release()
    assert (talk.transport.closed, talk.owner.ends) == (True, [False])


async def test_a_silent_service_is_given_up() -> None:
    talk = Talk()
    answer = talk.ask(silence_s=0.01)
    with pytest.raises(Silent):
        await answer.head()
    assert not talk.connection.is_open


async def a_few_turns() -> None:
    """Lets what is ready in the loop run."""
    for _ in range(10):
        await asyncio.sleep(0)


class Body:
    """A body that arrives as the test lets it."""

    def __init__(self, length: int | None, *pieces: bytes) -> None:
        self.length = length
        self._pieces = pieces
        self.goes_on = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        await self.goes_on.wait()


@pytest.mark.parametrize(("length", "sent"), [(4, b"abcd"), (None, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")])
async def test_a_body_is_sent_while_it_arrives(length: int | None, sent: bytes) -> None:
    talk = Talk()
    body = Body(length, b"ab", b"cd")
    answer = talk.ask(body=body)
    body.goes_on.set()
    await a_few_turns()
    assert talk.transport.written == GET + sent
    talk.receive(OK + b"Content-Length: 0\r\n\r\n")
    await answer.head()
    assert talk.is_reusable


async def test_a_body_waits_for_a_service_that_does_not_read() -> None:
    talk = Talk()
    talk.connection.pause_writing()
    body = Body(4, b"ab", b"cd")
    talk.ask(body=body)
    await a_few_turns()
    assert talk.transport.written == GET + b"ab"
    talk.connection.resume_writing()
    await a_few_turns()
    assert talk.transport.written == GET + b"abcd"
    talk.connection.abort()


async def test_an_answer_before_the_end_of_the_body_ends_the_connection() -> None:
    """The service would take the rest of the body for the next request."""
    talk = Talk()
    answer = talk.ask(body=Body(100, b"ab"))
    await asyncio.sleep(0)
    talk.receive(b"HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno")
    await answer.head()
    assert (answer.status, await answer.read()) == (422, b"no")
    assert (talk.owner.ends, talk.connection.is_open) == ([False], False)


async def test_a_body_that_is_shorter_than_its_length_is_not_sent_as_whole() -> None:
    talk = Talk()
    body = Body(100, b"ab")
    body.goes_on.set()
    answer = talk.ask(body=body)
    with pytest.raises(Lost):
        await answer.head()
    assert not talk.connection.is_open


class Left(Exception):
    pass


async def test_the_failure_of_a_client_in_its_body_is_that_of_the_call() -> None:
    class Leaving(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"ab"
            raise Left

    talk = Talk()
    answer = talk.ask(body=Leaving(100))
    with pytest.raises(Left):
        await answer.head()
    assert not talk.connection.is_open
