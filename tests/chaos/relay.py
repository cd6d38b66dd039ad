"""A TCP load balancer, like a Service of Kubernetes: connections go in turn to targets that are ready."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

Address = tuple[str, int]

_CHUNK_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 2.0


class Relay:
    """One port before several targets.

    targets: returns the addresses that are ready now; it is asked for each connection, so a target may move.
    port: the last one it listened to. delay_s: by which all bytes come later, in both directions.
    """

    def __init__(self, targets: Callable[[], Sequence[Address]]) -> None:
        self.port = 0
        self.delay_s = 0.0
        self._targets = targets
        self._turn = itertools.count()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int) -> None:
        """Takes connections to a port of the loopback interface."""
        self.port = port
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", port, limit=_CHUNK_BYTES)

    def refuse(self) -> None:
        """Refuses new connections, and cuts the open ones."""
        if self._server is not None:
            self._server.close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cuts all open connections. New ones are taken."""
        for task in self._open:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection until an end closes it."""
        task = asyncio.current_task()
        assert task is not None
        inner_writer: asyncio.StreamWriter | None = None
        try:
            self._open.add(task)
            found = await self._connect()
            if found is not None:
                inner_reader, inner_writer = found
                await self._both_ways((reader, inner_writer), (inner_reader, writer))
        except asyncio.CancelledError:
            task.uncancel()  # `cut_all` ends this connection only
        finally:
            self._open.discard(task)
            writer.transport.abort()
            if inner_writer is not None:
                inner_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        targets = self._targets()
        first = next(self._turn)
        for offset in range(len(targets)):
            target = targets[(first + offset) % len(targets)]
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(*target, limit=_CHUNK_BYTES)
        return None

    async def _both_ways(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        pumps = [asyncio.create_task(self._pump(reader, writer)) for reader, writer in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(pumps, timeout=1.0)  # what the other end still sends
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


@asynccontextmanager
async def listening(port: int, relay: Relay) -> AsyncIterator[Relay]:
    """Serves a relay on a port of the loopback interface."""
    await relay.listen(port)
    try:
        yield relay
    finally:
        relay.refuse()
