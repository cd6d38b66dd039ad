"""Clients that send requests and do not read the answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_testkit.eventually import eventually
from kappi_testkit.gateway.raw_http import DEADLINE_S, exchange, request
from kappi_testkit.gateway.stack import Stack, StackFactory

PAGE = "/v1/g/abcd"
PAGE_BYTES = 16 << 20
READER_BYTES = 4096
ARCHIVE = "/v1/g/abcd/archive"
PIECE_BYTES = 1 << 20


def not_reading(port: int, raw: bytes) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READER_BYTES)
    connection.connect(("127.0.0.1", port))
    connection.sendall(raw)
    return connection


async def large_page(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", str(PAGE_BYTES).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(PAGE_BYTES)})


class EndlessArchive:
    """running: number of archives being sent."""

    def __init__(self) -> None:
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", str(1 << 40).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        sending.cancel()

    async def _send(self, send: Send) -> None:
        self.running += 1
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(PIECE_BYTES), "more_body": True})
                await asyncio.sleep(0)  # sending to a disconnected client does not wait
        finally:
            self.running -= 1


@asynccontextmanager
async def asking_for_archive(stack: Stack) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    try:
        writer.write(request("GET", ARCHIVE))
        yield reader
    finally:
        writer.close()


async def are_refused_and_then_served(stack: Stack) -> None:
    async def others_get(status: int) -> None:
        answer = await exchange(stack.port, request("GET", "/nothing-here"))
        assert answer.status == status

    await eventually(lambda: others_get(503))
    await eventually(lambda: others_get(404))


@pytest.mark.parametrize("limits", [{"slow_per_address": 2}, {"client_silence": 1.0}])
async def test_clients_that_do_not_read_do_not_block_others(
    make_stack: StackFactory, limits: dict[str, float]
) -> None:
    stack = await make_stack(max_in_flight=4, **limits)
    stack.media.takes_over = large_page
    async with AsyncExitStack() as cleanup, asyncio.timeout(DEADLINE_S):
        for _ in range(4):
            cleanup.callback(not_reading(stack.port, request("GET", PAGE)).close)
        await are_refused_and_then_served(stack)


async def test_a_client_that_reads_an_archive_very_slowly_is_disconnected(make_stack: StackFactory) -> None:
    """The client's pauses are short, but it would use one of few places for days."""
    stack = await make_stack(client_silence=1.5, archive_bytes_per_s=200 * PIECE_BYTES)
    stack.media.takes_over = archive = EndlessArchive()
    async with asyncio.timeout(DEADLINE_S), asking_for_archive(stack) as reader:
        piece = await reader.read(PIECE_BYTES)
        while piece:
            await asyncio.sleep(0.02)
            piece = await reader.read(PIECE_BYTES)

    def place_is_free() -> None:
        assert archive.running == 0

    await eventually(place_is_free)


async def test_a_client_that_pauses_and_reads_on_is_not_disconnected(make_stack: StackFactory) -> None:
    stack = await make_stack(client_silence=1.5, archive_bytes_per_s=PIECE_BYTES)
    stack.media.takes_over = EndlessArchive()
    async with asyncio.timeout(3 * DEADLINE_S), asking_for_archive(stack) as reader:
        for _ in range(4):
            await asyncio.sleep(0.7)  # the sum of three such pauses exceeds the allowed delay
            for _ in range(16):
                await reader.readexactly(PIECE_BYTES)
