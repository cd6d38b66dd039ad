"""The bad link counts the bytes that its clients have sent, even if no server received them."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios

import pytest
from kappi_chassis.embedded.ports import free_ports

from tests.e2e.rough_network import Roughness, rough_network

pytestmark = pytest.mark.integration


async def test_bytes_on_their_way_at_a_cut_are_counted() -> None:
    (port,) = free_ports(1)
    behind = await asyncio.start_server(_swallow, "127.0.0.1", 0)
    roughness = Roughness(blocked=True)
    async with behind, rough_network({port: behind.sockets[0].getsockname()}, roughness) as link:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            given = await _sent_until_buffers_are_full(client)
            sent = given - struct.unpack("i", fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
            come = link.traffic.sent_bytes
            link.cut_all()
            await link.idle()
            assert (link.traffic.cuts, link.traffic.outages) == (1, 1)
    assert sent > come > 0, "no byte was received and not read by the link"
    assert link.traffic.sent_bytes == sent


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def _sent_until_buffers_are_full(client: socket.socket) -> int:
    given, quiet = 0, 0
    while quiet < 20:
        with contextlib.suppress(BlockingIOError):
            given += client.send(bytes(64 * 1024))
            quiet = 0
        quiet += 1
        await asyncio.sleep(0.01)
    return given
