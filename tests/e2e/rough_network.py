"""A link as trains have it: TCP proxies that throttle all their connections together and cut each in time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import socket
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

Address = tuple[str, int]

_CHUNK_BYTES = 16 * 1024
_BUFFER_BYTES = 64 * 1024
# A busy machine wakes sleepers late: what a link of this speed would have passed meanwhile is made up for.
_LATE_S = 0.1
_REQUEST = re.compile(rb"^([A-Z]+ \S+) HTTP/1\.1\r\n")


@dataclass(slots=True)
class Traffic:
    """sent_bytes: what clients put on the wire, headers and all, though a cut kept it from passing. requests:
    method and target of each that passed.

    cuts: connections that were cut while they lived. outages: times at which all were cut that there were.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    connections: int = 0
    cuts: int = 0
    outages: int = 0
    requests: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Roughness:
    """May be changed while it runs. bytes_per_second: of the whole link, each way. cut_after_s: a
    connection's whole life. cut_every_s: all connections at once. blocked: nobody gets through, and nobody
    is told.
    """

    bytes_per_second: float | None = None
    cut_after_s: float | None = None
    cut_every_s: float | None = None
    blocked: bool = False


class RoughNetwork:
    """on_sent: told the bytes sent so far, as they come. on_request: told method and target of a request once
    it has passed, so that whoever ends the client then loses the answer.
    """

    def __init__(self, roughness: Roughness) -> None:
        self.roughness = roughness
        self.traffic = Traffic()
        self.on_sent: Callable[[int], None] = lambda _: None
        self.on_request: Callable[[str], None] = lambda _: None
        self._up = _Throttle(roughness)
        self._down = _Throttle(roughness)
        self._open: set[asyncio.Task[None]] = set()

    def cut_all(self) -> None:
        """Now, as in a tunnel."""
        self.traffic.outages += 1
        for task in self._open:
            self.traffic.cuts += 1
            task.cancel()

    async def cut_regularly(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self.roughness.cut_every_s or 0.05)
            if self.roughness.cut_every_s is not None:
                self.cut_all()

    async def idle(self, *, timeout_s: float = 20.0) -> None:
        """Until no connection is left: what a killed client had sent still passes. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self._open:  # noqa: ASYNC110 - others end them
                await asyncio.sleep(0.02)

    def door(self, target: Address) -> _Door:
        """A connection that comes in."""
        return _Door(partial(self._serve, target), self.count_sent)

    async def _serve(
        self, target: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.traffic.connections += 1
        try:
            await self._carry(target, reader, writer)
        except asyncio.CancelledError:
            # A cut by `cut_all`, which is the end of this connection and of nothing else.
            task.uncancel()
        finally:
            self._open.discard(task)
            self.count_sent(_unread_bytes(writer))
            writer.transport.abort()

    async def _carry(
        self, target: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*target, limit=_BUFFER_BYTES)
        except OSError:
            return
        try:
            async with asyncio.timeout(self.roughness.cut_after_s):
                await self._both_ways((reader, writer), (inner_reader, inner_writer))
        except TimeoutError:
            self.traffic.cuts += 1
        finally:
            inner_writer.transport.abort()

    async def _both_ways(
        self,
        outer: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        inner: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        ways = [
            asyncio.create_task(self._pump(outer[0], inner[1], self._up, self._note_request)),
            asyncio.create_task(self._pump(inner[0], outer[1], self._down, self._count_received)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            # The side that still speaks may finish what it says.
            await asyncio.wait(ways, timeout=1.0)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        throttle: _Throttle,
        count: Callable[[bytes], None],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await throttle.pass_on(len(chunk))
                writer.write(chunk)
                await writer.drain()
                count(chunk)
            if writer.can_write_eof():
                writer.write_eof()

    def count_sent(self, size_bytes: int) -> None:
        self.traffic.sent_bytes += size_bytes
        self.on_sent(self.traffic.sent_bytes)

    def _note_request(self, chunk: bytes) -> None:
        if (request := _REQUEST.match(chunk)) is not None:
            self.traffic.requests.append(request[1].decode())
            self.on_request(self.traffic.requests[-1])

    def _count_received(self, chunk: bytes) -> None:
        self.traffic.received_bytes += len(chunk)


class _Door(asyncio.StreamReaderProtocol):
    """count: told the bytes that come, whoever reads them."""

    def __init__(self, serve: Callable[..., Awaitable[None]], count: Callable[[int], None]) -> None:
        super().__init__(asyncio.StreamReader(limit=_BUFFER_BYTES), serve)
        self._count = count

    def data_received(self, data: bytes) -> None:
        self._count(len(data))
        super().data_received(data)


def _unread_bytes(writer: asyncio.StreamWriter) -> int:
    """What the system has received for this end and nobody has fetched."""
    end = writer.get_extra_info("socket")
    if end is None or end.fileno() < 0:
        return 0
    counted: tuple[int] = struct.unpack("i", fcntl.ioctl(end.fileno(), termios.FIONREAD, bytes(4)))
    return counted[0]


class _Throttle:
    """One direction of the link, shared by all connections: who comes later waits longer."""

    def __init__(self, roughness: Roughness) -> None:
        self._roughness = roughness
        self._free_at = 0.0

    async def pass_on(self, size_bytes: int) -> None:
        while self._roughness.blocked:  # noqa: ASYNC110 - a test changes it
            await asyncio.sleep(0.02)
        rate = self._roughness.bytes_per_second
        if rate is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - _LATE_S) + size_bytes / rate
        await asyncio.sleep(max(self._free_at - now, 0.0))


@asynccontextmanager
async def rough_network(doors: Mapping[int, Address], roughness: Roughness) -> AsyncIterator[RoughNetwork]:
    """One link before several servers. doors: what stands behind each port of this machine."""
    network = RoughNetwork(roughness)
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as open_doors:
        for port, target in doors.items():
            listening = socket.create_server(("127.0.0.1", port))
            # As little as a link keeps: else a cut would take megabytes with it that a client has sent.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            server = await loop.create_server(partial(network.door, target), sock=listening)
            await open_doors.enter_async_context(server)
        cutting = asyncio.create_task(network.cut_regularly())
        try:
            yield network
        finally:
            cutting.cancel()
            network.cut_all()
