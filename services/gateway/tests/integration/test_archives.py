"""Long answers are streamed, counted separately, may pause, and keep the client's method and ranges."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_gateway.errors import TooManyArchives
from kappi_gateway.limits.concurrency import ConcurrencyLimit
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import Reply
from kappi_testkit.gateway.raw_http import DEADLINE_S, exchange, request
from kappi_testkit.gateway.stack import Stack, StackFactory

ARCHIVE = "/v1/g/abcd/archive"


class Archive:
    """A media service with one archive, which waits in the middle."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.running = 0
        self.methods: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.methods.append(scope["method"])
        if not scope["path"].endswith("/archive"):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        headers = [(b"content-length", b"10"), (b"etag", b'"v1"'), (b"accept-ranges", b"bytes")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        self.running += 1
        leaving = asyncio.create_task(self._until_left(receive))
        try:
            await send({"type": "http.response.body", "body": b"12345", "more_body": True})
            waiting = asyncio.create_task(self.go_on.wait())
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not leaving.done():
                await send({"type": "http.response.body", "body": b"67890"})
        finally:
            self.running -= 1
            leaving.cancel()

    async def _until_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@pytest.fixture
def archive() -> Archive:
    return Archive()


async def begun(open_streams: AsyncExitStack, stack: Stack, count: int = 1) -> list[asyncio.StreamReader]:
    """Clients in the middle of the archive; they disconnect with `open_streams`."""
    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
        open_streams.callback(writer.close)
        writer.write(request("GET", ARCHIVE))
        async with asyncio.timeout(DEADLINE_S):
            assert b"200 OK" in await reader.readuntil(b"12345")
        readers.append(reader)
    return readers


async def test_an_archive_is_streamed_and_may_pause_longer_than_other_answers(
    make_stack: StackFactory, archive: Archive
) -> None:
    stack = await make_stack(read_timeout=timedelta(seconds=0.2), archive_silence=timedelta(seconds=30))
    stack.media.takes_over = archive
    async with AsyncExitStack() as clients:
        (reader,) = await begun(clients, stack)
        await asyncio.sleep(0.5)  # longer than any other answer may pause
        archive.go_on.set()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.readexactly(5) == b"67890"


async def test_an_endless_pause_ends_the_connection(make_stack: StackFactory, archive: Archive) -> None:
    stack = await make_stack(archive_silence=timedelta(seconds=0.2))
    stack.media.takes_over = archive
    async with AsyncExitStack() as clients:
        (reader,) = await begun(clients, stack)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""


async def test_head_is_sent_as_head(stack: Stack, archive: Archive) -> None:
    stack.media.takes_over = archive
    answer = await stack.ask("HEAD", ARCHIVE)
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "10", b"")
    assert archive.methods == ["HEAD"]


async def test_conditions_and_ranges_are_passed_on(stack: Stack) -> None:
    headers = ((b"content-range", b"bytes 5-9/10"), (b"etag", b'"v1"'))
    stack.media.always(Reply(status=206, body=b"67890", headers=headers))
    asked = {
        "range": "bytes=5-",
        "if-range": '"v1"',
        "if-match": '"v1"',
        "if-none-match": '"v0"',
    }
    answer = await stack.ask(
        "GET", "/v1/g/%20ABCD/archive", *(f"{name}: {value}" for name, value in asked.items())
    )
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, b"67890", "bytes 5-9/10")
    (seen,) = stack.media.seen
    assert seen.raw_path == ARCHIVE.encode()
    assert asked.items() <= seen.headers.items()
    assert seen.headers["x-kappi-grant"] == "grant-1"


async def test_running_archives_use_no_slots_of_other_requests(
    make_stack: StackFactory, archive: Archive
) -> None:
    stack = await make_stack(max_in_flight=1, max_archives=3)
    stack.media.takes_over = archive
    async with AsyncExitStack() as clients:
        await begun(clients, stack, count=3)
        assert (await stack.ask("GET", "/v1/g/abcd")).status == 200
        refused = await stack.ask("GET", ARCHIVE)
        assert (refused.status, refused.code) == (503, "overloaded")


async def test_archives_of_an_address_are_limited(make_stack: StackFactory, archive: Archive) -> None:
    stack = await make_stack(archives_per_address=2)
    stack.media.takes_over = archive
    async with AsyncExitStack() as clients:
        await begun(clients, stack, count=2)
        refused = await stack.ask("GET", ARCHIVE)
        assert (refused.status, refused.code) == (429, "too_many_archives")
        assert refused.headers["retry-after"] == "5"
    # The disconnected clients freed their places, and no data is sent to them any more.

    def all_left() -> None:
        assert archive.running == 0

    await eventually(all_left)
    archive.go_on.set()
    assert (await stack.ask("GET", ARCHIVE)).body == b"1234567890"


async def test_similar_paths_are_not_found(stack: Stack) -> None:
    for target in ("/v1/g//archive", "/v1/g/abcd/x/archive", "/v1/g/abcd/archive/"):
        assert (await exchange(stack.port, request("GET", target))).status == 404


def test_addresses_are_counted_separately() -> None:
    limit = ConcurrencyLimit(1, name="archives", refusal=TooManyArchives)
    with limit.held("192.0.2.1"), limit.held("192.0.2.2"), limit.held("2001:db8::1"):
        for taken in ("192.0.2.1", "2001:db8::2"):
            with pytest.raises(TooManyArchives), limit.held(taken):
                pass
    with limit.held("192.0.2.1"):
        pass


def test_a_failed_archive_frees_its_slot() -> None:
    limit = ConcurrencyLimit(1, name="archives", refusal=TooManyArchives)
    error: Any = RuntimeError()
    with pytest.raises(RuntimeError), limit.held("192.0.2.1"):
        raise error
    with limit.held("192.0.2.1"):
        pass
