"""A bad network link, as on trains: TCP proxies that limit the rate of all connections and cut them."""

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
# A busy machine wakes tasks late: the bytes that a link of this speed would have passed are made up for.
_LATE_S = 0.1
_REQUEST = re.compile(rb"^([A-Z]+ \S+) HTTP/1\.1\r\n")


@dataclass(slots=True)
class Traffic:
    """sent_bytes: bytes that clients sent, with headers, even if a cut kept them from passing. requests:
    method and target of each request that passed.

    cuts: connections that were cut while open. outages: number of times that all connections were cut.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    connections: int = 0
    cuts: int = 0
    outages: int = 0
    requests: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Roughness:
    """May be changed while it runs.

    bytes_per_second: of the whole link, each way. cut_after_s: lifetime of a connection. cut_every_s:
    interval of cuts of all connections. blocked: no byte passes, and connections stay open.
    """

    bytes_per_second: float | None = None
    cut_after_s: float | None = None
    cut_every_s: float | None = None
    blocked: bool = False


class RoughNetwork:
    """on_sent: called with the number of sent bytes. on_request: called with method and target of a request
    once it has passed, so that a client that is then killed loses the answer.
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
        """Cuts all connections now, as in a tunnel."""
        self.traffic.outages += 1
        for task in self._open:
            self.traffic.cuts += 1
            task.cancel()

    async def cut_regularly(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self.roughness.cut_every_s or 0.05)
            if self.roughness.cut_every_s is not None:
                self.cut_all()

    async def idle(self, *, timeout_s: float = 20.0) -> None:
        """Waits until no connection is left: bytes of a killed client still pass. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self._open:  # noqa: ASYNC110 - others end them
                await asyncio.sleep(0.02)

    def door(self, target: Address) -> _Door:
        """Returns the protocol of an incoming connection."""
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
            # A cut by `cut_all` ends this connection only.
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
            # The other direction may end by itself.
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
    """count: called with the number of received bytes, read or not."""

    def __init__(self, serve: Callable[..., Awaitable[None]], count: Callable[[int], None]) -> None:
        super().__init__(asyncio.StreamReader(limit=_BUFFER_BYTES), serve)
        self._count = count

    def data_received(self, data: bytes) -> None:
        self._count(len(data))
        super().data_received(data)


def _unread_bytes(writer: asyncio.StreamWriter) -> int:
    """Returns the bytes that the system has received for this end and that were not read."""
    end = writer.get_extra_info("socket")
    if end is None or end.fileno() < 0:
        return 0
    counted: tuple[int] = struct.unpack("i", fcntl.ioctl(end.fileno(), termios.FIONREAD, bytes(4)))
    return counted[0]


class _Throttle:
    """One direction of the link, shared by all connections in order of arrival."""

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
    """Yields one link before several servers. doors: the server behind each local port."""
    network = RoughNetwork(roughness)
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as open_doors:
        for port, target in doors.items():
            listening = socket.create_server(("127.0.0.1", port))
            # As small as on a real link: otherwise a cut would lose megabytes that a client has sent.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            server = await loop.create_server(partial(network.door, target), sock=listening)
            await open_doors.enter_async_context(server)
        cutting = asyncio.create_task(network.cut_regularly())
        try:
            yield network
        finally:
            cutting.cancel()
            network.cut_all()
