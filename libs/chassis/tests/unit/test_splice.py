"""Bytes that the kernel moves from one connection to another."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kappi_chassis.http.direct_bytes import DirectSocket
from kappi_chassis.http.splice import SourceEnded, TargetEnded, splice

BODY = os.urandom(5_000_000)


class Unhurried:
    """A pace without a limit. moved_bytes: what it was told of."""

    def __init__(self) -> None:
        self.moved_bytes = 0

    async def until(self, ready: Callable[[], Awaitable[None]]) -> None:
        await ready()

    def moved(self, size_bytes: int) -> None:
        self.moved_bytes += size_bytes


class Impatient(Unhurried):
    async def until(self, ready: Callable[[], Awaitable[None]]) -> None:
        raise TimeoutError


class Ends:
    """A pair of connections with a DirectSocket between them: `client` -> source, target -> `service`."""

    def __init__(self) -> None:
        self.client, inner = socket.socketpair()
        outer, self.service = socket.socketpair()
        loop = asyncio.get_running_loop()
        self.source, self.target = (
            DirectSocket(_transport(inner), loop),
            DirectSocket(_transport(outer), loop),
        )
        for each in (inner, outer):
            each.close()
        for each in (self.client, self.service, self.source.socket, self.target.socket):
            each.setblocking(False)

    async def splice(self, length: int, **paces: Any) -> None:
        sides: dict[str, Any] = {"sending": Unhurried(), "taking": Unhurried(), **paces}
        async with asyncio.timeout(10):
            await splice(self.source, self.target, length, **sides)


def _transport(of: socket.socket) -> Any:
    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return of

    return Transport()


@pytest.fixture
async def ends() -> Any:
    made = Ends()
    yield made
    for each in (made.client, made.service, made.source, made.target):
        each.close()


async def received(ends: Ends, length: int) -> bytes:
    loop, body = asyncio.get_running_loop(), b""
    while len(body) < length:
        body += await loop.sock_recv(ends.service, 1 << 20)
    return body


async def test_all_bytes_arrive_and_no_other(ends: Ends) -> None:
    loop = asyncio.get_running_loop()
    sending, taking = Unhurried(), Unhurried()
    async with asyncio.TaskGroup() as group:
        group.create_task(loop.sock_sendall(ends.client, BODY + b"the next request"))
        group.create_task(ends.splice(len(BODY), sending=sending, taking=taking))
        body = group.create_task(received(ends, len(BODY)))
    assert body.result() == BODY
    assert sending.moved_bytes == taking.moved_bytes == len(BODY)
    assert ends.source.socket.recv(100) == b"the next request"
    with pytest.raises(BlockingIOError):
        ends.service.recv(1)


async def test_a_source_that_ends_early_is_told_apart(ends: Ends) -> None:
    ends.client.send(b"x" * 100)
    ends.client.shutdown(socket.SHUT_WR)
    with pytest.raises(SourceEnded):
        await ends.splice(101)


async def test_a_target_that_ends_is_told_apart(ends: Ends) -> None:
    ends.client.send(b"x" * 100)
    ends.service.close()
    with pytest.raises(TargetEnded):
        await ends.splice(100)


async def test_each_side_is_waited_for_at_its_pace(ends: Ends) -> None:
    with pytest.raises(TimeoutError):
        await ends.splice(1, sending=Impatient())
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(ends.client, BODY))
    with pytest.raises(TimeoutError):
        await ends.splice(len(BODY), taking=Impatient())
    sending.cancel()
