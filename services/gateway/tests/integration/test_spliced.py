"""Long uploads and downloads, whose bytes the kernel moves between the client and the store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.fake_services import Reply
from kappi_testkit.gateway.raw_http import DEADLINE_S, exchange, read_answer, request
from kappi_testkit.gateway.stack import Stack

SIGNED = "/store/galleries/a/b/original?sig=x"
LONG = os.urandom(3_000_000)


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_uploads_and_downloads_follow_each_other_on_one_connection(stack: Stack) -> None:
    stack.store.always(Reply(body=LONG))
    upload = request("PUT", SIGNED, f"Content-Length: {len(LONG)}") + LONG
    async with connected(stack) as (reader, writer):
        for _ in range(3):
            writer.write(upload + request("GET", SIGNED) + request("HEAD", SIGNED))
            for head_only in (False, False, True):
                answer = await read_answer(reader, head_only=head_only)
                assert (answer.status, answer.body) == (200, b"" if head_only else LONG)
    assert [seen.body for seen in stack.store.seen if seen.method == "PUT"] == [LONG] * 3


async def test_a_refusal_in_the_middle_of_an_upload_arrives(stack: Stack) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"no!"})

    stack.store.takes_over = refuse
    async with connected(stack) as (reader, writer):
        writer.write(request("PUT", SIGNED, f"Content-Length: {len(LONG)}") + LONG[:1_000_000])
        answer = await read_answer(reader)
        assert (answer.status, answer.body) == (403, b"no!")
        # The rest is no request, and what follows it is one.
        stack.store.takes_over = None
        writer.write(LONG[1_000_000:] + request("GET", SIGNED))
        assert (await read_answer(reader)).status == 200


async def test_a_download_that_breaks_off_does_not_look_complete(stack: Stack) -> None:
    async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
        length = str(len(LONG)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": LONG[:1_000_000], "more_body": True})
        scope["kappi.cut"]()

    stack.store.takes_over = break_off
    answer = await exchange(stack.port, request("GET", SIGNED))
    assert not answer.complete
    assert LONG.startswith(answer.body)


async def test_a_client_that_leaves_ends_its_download(stack: Stack) -> None:
    left = asyncio.Event()

    async def send_for_ever(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", str(1 << 40).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        scope["kappi.when_lost"](left.set)
        while not left.is_set():
            await send({"type": "http.response.body", "body": LONG, "more_body": True})
            await asyncio.sleep(0)

    stack.store.takes_over = send_for_ever
    async with connected(stack) as (reader, writer):
        writer.write(request("GET", SIGNED))
        await reader.readexactly(10_000_000)
    async with asyncio.timeout(DEADLINE_S):
        await left.wait()


async def test_no_descriptor_is_left(stack: Stack) -> None:
    async def cut(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["kappi.cut"]()

    upload = request("PUT", SIGNED, f"Content-Length: {len(LONG)}")
    await exchange(stack.port, upload + LONG)
    before = descriptors()
    for body in (LONG, LONG[:1_000_000]):
        for takes_over in (None, cut):
            stack.store.takes_over = takes_over
            async with connected(stack) as (_, writer):
                writer.write(upload + body)
                await writer.drain()

    def none_is_left() -> None:
        assert descriptors() <= before

    await eventually(none_is_left)
