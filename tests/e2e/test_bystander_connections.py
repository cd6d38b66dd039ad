"""One client sends what is cheap to send and dear to answer, or opens connections and says nothing."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.bystander import ATTACKER, PICTURE, assert_unharmed, bystander
from tests.e2e.phone import File, Phone
from tests.e2e.stacks import StackUnderTest

MEASURED_S = 4.0
BURST = b"GET / HTTP/1.1\r\nHost: kappi\r\n\r\n" * 8_500  # 256 kB: 20 of them are 5 MB
SOCKETS = 20
HALF_OPEN, OPENING_S = 6_000, 3.0
LARGE = File("large.png", "image/png", PICTURE.body + bytes(8 << 20))
MOST_GROWTH_BYTES = 60 << 20


@pytest.fixture(scope="module")
def own_settings() -> Mapping[str, str]:
    """As they come."""
    return {
        "KAPPI_GATEWAY_CONNECTIONS_PER_ADDRESS": "512",
        "KAPPI_GATEWAY_REQUESTS_PER_ADDRESS": "64",
        "KAPPI_GATEWAY_SLOW_PER_ADDRESS": "32",
    }


async def _connected(stack: StackUnderTest) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    try:
        connection.bind((ATTACKER, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", stack.running.port))
    except BaseException:
        connection.close()
        raise
    return connection


async def _send_for_ever(stack: StackUnderTest, first: bytes, *, reads: bool) -> None:
    """One connection after the other, each full of requests."""
    loop = asyncio.get_running_loop()
    while True:
        connection = await _connected(stack)
        try:
            with suppress(OSError):
                await loop.sock_sendall(connection, first)
                reading = asyncio.create_task(_read_on(connection)) if reads else None
                try:
                    while True:
                        await loop.sock_sendall(connection, BURST)
                finally:
                    if reading is not None:
                        reading.cancel()
        finally:
            connection.close()


async def _read_on(connection: socket.socket) -> None:
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(connection, 1 << 20):
            pass


async def _at_once(stack: StackUnderTest, first: bytes, *, reads: bool) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(SOCKETS):
            group.create_task(_send_for_ever(stack, first, reads=reads))


def _memory(stack: StackUnderTest) -> int:
    """Of the gateway, in bytes."""
    status = Path(f"/proc/{stack.running.note.services['gateway'].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


@pytest.mark.parametrize("reads", [True, False])
async def test_many_requests_in_one_burst(own_stack: StackUnderTest, reads: bool) -> None:
    async with bystander(own_stack) as other:
        before = await other.for_a_while(MEASURED_S)
        memory = _memory(own_stack)
        during = await other.beside(_at_once(own_stack, b"", reads=reads), MEASURED_S)
        grown = _memory(own_stack) - memory
    assert_unharmed(before, during)
    assert grown < MOST_GROWTH_BYTES


async def test_bursts_behind_a_download_that_is_not_read(own_stack: StackUnderTest) -> None:
    async with (
        bystander(own_stack) as other,
        Phone(own_stack.base_url, secrets=own_stack.secrets, address=ATTACKER) as hostile,
    ):
        gallery = await hostile.create_gallery()
        await hostile.upload(gallery, LARGE)
        (item,) = await hostile.until_ready(gallery, 1)
        path = item["original"]["url"].removeprefix(own_stack.base_url)
        own_stack.secrets.add(path.rpartition("=")[2])
        before = await other.for_a_while(MEASURED_S)
        memory = _memory(own_stack)
        first = f"GET {path} HTTP/1.1\r\nHost: kappi\r\n\r\n".encode()
        during = await other.beside(_at_once(own_stack, first, reads=False), MEASURED_S)
        grown = _memory(own_stack) - memory
    assert_unharmed(before, during)
    assert grown < MOST_GROWTH_BYTES


async def test_connections_that_say_nothing(own_stack: StackUnderTest) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(HALF_OPEN, most - 500)
    before_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held: list[socket.socket] = []

    async def open_all() -> None:
        loop = asyncio.get_running_loop()
        while True:
            held.append(await _connected(own_stack))
            await loop.sock_sendall(held[-1], b"GET /v1/g/")
            if len(held) > count:
                held.pop(0).close()
                # The bystander is measured in this process: a faster attack would measure the attacker.
                await asyncio.sleep(0.002)

    try:
        async with bystander(own_stack) as other:
            before = await other.for_a_while(MEASURED_S)
            during = await other.beside(open_all(), MEASURED_S, after_s=OPENING_S)
            metrics = (await other.phone.ask("GET", own_stack.ops_url("gateway") + "/metrics")).body.decode()
    finally:
        for connection in held:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before_limit)
    assert_unharmed(before, during)
    assert len(held) > 512
    kept = float(metrics.partition("\nkappi_http_open_connections ")[2].split()[0])
    assert kept < 512 + 20, "its own, and few of others"
