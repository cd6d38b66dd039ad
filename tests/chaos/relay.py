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
    """

    def __init__(self, targets: Callable[[], Sequence[Address]]) -> None:
        self._targets = targets
        self._turn = itertools.count()
        self._open: set[asyncio.Task[None]] = set()

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
                await _both_ways((reader, inner_writer), (inner_reader, writer))
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


async def _both_ways(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    pumps = [asyncio.create_task(_pump(reader, writer)) for reader, writer in ways]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(pumps, timeout=1.0)  # what the other end still sends
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@asynccontextmanager
async def listening(port: int, relay: Relay) -> AsyncIterator[Relay]:
    """Serves a relay on a port of the loopback interface."""
    server = await asyncio.start_server(relay.serve, "127.0.0.1", port, limit=_CHUNK_BYTES)
    try:
        yield relay
    finally:
        server.close()
        relay.cut_all()
