"""Clients that ask and do not read."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from kappi_chassis.http.edge import Receive, Scope, Send
from kappi_chassis.testing.eventually import eventually
from kappi_gateway.testing import DEADLINE_S, exchange, request
from kappi_gateway.testing_stack import Stack, StackFactory

PAGE = "/v1/g/abcd"
PAGE_BYTES = 16 << 20
READER_BYTES = 4096


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


async def are_kept_out_and_let_in_again(stack: Stack) -> None:
    async def others_get(status: int) -> None:
        answer = await exchange(stack.port, request("GET", "/nothing-here"))
        assert answer.status == status

    await eventually(lambda: others_get(503))
    await eventually(lambda: others_get(404))


@pytest.mark.parametrize("limits", [{"slow_per_address": 2}, {"client_silence": 1.0}])
async def test_who_does_not_read_does_not_keep_the_others_out(
    make_stack: StackFactory, limits: dict[str, float]
) -> None:
    stack = await make_stack(max_in_flight=4, **limits)
    stack.media.takes_over = large_page
    async with AsyncExitStack() as cleanup, asyncio.timeout(DEADLINE_S):
        for _ in range(4):
            cleanup.callback(not_reading(stack.port, request("GET", PAGE)).close)
        await are_kept_out_and_let_in_again(stack)
