"""Bodies are streamed in both directions, and the end of a client or a service is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import GALLERY_ID, Reply
from kappi_testkit.gateway.raw_http import DEADLINE_S, exchange, read_answer, request
from kappi_testkit.gateway.stack import Stack, StackFactory

MIB = 1 << 20
T = TypeVar("T")
UPLOADS = f"/v1/galleries/{GALLERY_ID}/uploads"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


class Witness:
    """An ASGI app under a test's control that notices when its caller disconnects."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.left = asyncio.Event()
        self.received = 0

    async def until_left(self, receive: Receive) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            self.received += len(message.get("body", b""))
        self.left.set()

    async def silent(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        await self.until_left(receive)

    async def stops_halfway(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await self.silent(scope, receive, send)

    async def endless(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        leaving = asyncio.create_task(self.until_left(receive))
        while not self.left.is_set():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            self.received += 65536
            await asyncio.sleep(0)
        await leaving


async def _within(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        return await awaitable


async def test_pieces_arrive_before_the_answer_is_complete(stack: Stack) -> None:
    released = asyncio.Event()

    async def two_pieces(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await released.wait()
        await send({"type": "http.response.body", "body": b"two"})

    stack.media.takes_over = two_pieces
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("GET", "/v1/g/abcd"))
    assert b"one" in await _within(reader.readuntil(b"one"))
    released.set()
    assert await _within(reader.readuntil(b"two\r\n0\r\n\r\n"))
    writer.close()


async def test_large_answers_arrive_whole(stack: Stack) -> None:
    body = bytes(range(256)) * 4096 * 8
    stack.media.always(Reply(body=body))
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.complete, answer.body == body) == (True, True)


async def test_a_slow_reader_slows_the_service_down(stack: Stack) -> None:
    witness = Witness()
    stack.media.takes_over = witness.endless
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("GET", "/v1/g/abcd"))
    await _within(reader.readuntil(b"x"))
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # a reader that stops reading
    await eventually(lambda: _assert_settled(witness))
    assert witness.received < 32 * MIB
    writer.close()
    await _within(witness.left.wait())


_looks: dict[Witness, list[int]] = {}


def _assert_settled(witness: Witness) -> None:
    looks = _looks.setdefault(witness, [])
    looks.append(witness.received)
    assert len(looks) >= 10
    assert len(set(looks[-10:])) == 1


@pytest.mark.parametrize("behaviour", ["silent", "stops_halfway", "endless"])
async def test_a_client_that_disconnects_ends_the_call_of_the_service(stack: Stack, behaviour: str) -> None:
    witness = Witness()
    stack.media.takes_over = getattr(witness, behaviour)
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("GET", "/v1/g/abcd"))
    await eventually(lambda: _assert_true(witness.begun.is_set() or witness.received > 0))
    writer.transport.abort()
    await _within(witness.left.wait())


def _assert_true(truth: object) -> None:
    assert truth


async def test_a_client_may_disconnect_during_its_grant_request(stack: Stack) -> None:
    witness = Witness()
    stack.galleries.takes_over = witness.silent
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("GET", "/v1/g/abcd"))
    await _within(witness.begun.wait())
    writer.transport.abort()
    await _within(witness.left.wait())


async def test_other_clients_get_the_grant_if_one_disconnects(stack: Stack) -> None:
    witness = Witness()
    stack.galleries.takes_over = witness.silent
    writers = []
    for _ in range(2):
        _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        writer.write(request("GET", "/v1/g/abcd"))
        writers.append(writer)
    await _within(witness.begun.wait())
    writers[0].transport.abort()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await witness.left.wait()
    writers[1].transport.abort()
    await _within(witness.left.wait())


async def test_a_client_may_disconnect_during_its_body(stack: Stack) -> None:
    witness = Witness()
    stack.media.takes_over = witness.silent
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", UPLOADS, "X-Gallery-Key: k", "Content-Length: 100000") + b"x" * 1000)
    await _within(witness.begun.wait())
    writer.transport.abort()
    await _within(witness.left.wait())


async def test_the_connection_to_the_service_works_afterwards(stack: Stack) -> None:
    stack.media.takes_over = Witness().silent
    _, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("GET", "/v1/g/abcd"))
    writer.transport.abort()
    stack.media.takes_over = None
    assert (await stack.ask("GET", "/v1/g/abcd")).status == 200


async def test_an_interrupted_answer_does_not_look_complete(stack: Stack) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
        raise RuntimeError("the service dies")

    stack.media.takes_over = breaks_off
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.complete) == (200, False)


async def test_an_interrupted_chunked_answer_does_not_look_complete(stack: Stack) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
        raise RuntimeError("the service dies")

    stack.media.takes_over = breaks_off
    answer = await stack.ask("GET", "/v1/g/abcd")
    assert (answer.status, answer.complete) == (200, False)


async def test_bodies_over_the_limit_are_refused_without_reading(make_stack: StackFactory) -> None:
    stack = await make_stack(json_body_limit_bytes=1000)
    raw = request("POST", "/v1/galleries", "Content-Length: 1001", "Expect: 100-continue")
    answer = await exchange(stack.port, raw)
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert stack.galleries.seen == []


async def test_chunked_bodies_over_the_limit_are_refused(make_stack: StackFactory) -> None:
    stack = await make_stack(json_body_limit_bytes=1000)
    piece = b"200\r\n" + b"x" * 512 + b"\r\n"
    raw = request("POST", "/v1/galleries", "Transfer-Encoding: chunked") + piece
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(raw)
    writer.write(piece)
    writer.write(piece + b"0\r\n\r\n")
    answer = await _within(read_answer(reader))
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert stack.galleries.seen == []
    writer.close()


async def test_a_body_in_small_pieces_arrives_whole(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    body = b"0123456789" * 3000
    writer.write(request("POST", UPLOADS, "X-Gallery-Key: k", f"Content-Length: {len(body)}"))
    for start in range(0, len(body), 5000):
        writer.write(body[start : start + 5000])
        await writer.drain()
        await asyncio.sleep(0)
    assert (await _within(read_answer(reader))).status == 200
    assert stack.media.seen[-1].body == body
    assert stack.media.seen[-1].headers["content-length"] == str(len(body))
    writer.close()


async def test_a_stalled_body_times_out(make_stack: StackFactory) -> None:
    stack = await make_stack(client_silence=0.05)
    raw = request("POST", UPLOADS, "X-Gallery-Key: k", "Content-Length: 100") + b"x"
    answer = await exchange(stack.port, raw)
    assert (answer.status, answer.code) == (408, "request_timeout")


async def test_100_continue_is_sent_when_the_body_is_read(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", UPLOADS, "X-Gallery-Key: k", "Content-Length: 2", "Expect: 100-continue"))
    assert (await _within(read_answer(reader))).status == 100
    writer.write(b"{}")
    assert (await _within(read_answer(reader))).status == 200
    assert "expect" not in stack.media.seen[-1].headers
    writer.close()


async def test_100_continue_is_not_sent_for_a_refused_request(stack: Stack) -> None:
    raw = request("POST", UPLOADS, "Content-Length: 2", "Expect: 100-continue")
    assert (await exchange(stack.port, raw)).code == "gallery_key_missing"


async def test_an_early_answer_does_not_wait_for_the_body(stack: Stack) -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 422, "headers": headers})
        await send({"type": "http.response.body", "body": b"no"})

    stack.media.takes_over = refuses
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(request("POST", UPLOADS, "X-Gallery-Key: k", "Content-Length: 100000") + b"x" * 1000)
    answer = await _within(read_answer(reader))
    assert (answer.status, answer.body) == (422, b"no")
    writer.close()
    stack.media.takes_over = None
    assert (await stack.ask("POST", UPLOADS, "X-Gallery-Key: k", body=b"{}")).status == 200
