"""The HTTP server: uvicorn inside the chassis' life cycle, so that draining has an order (ADR-0006)."""

from __future__ import annotations

import asyncio
import math
import socket
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any

import uvicorn

from kappi_chassis.http.connections import ConnectionLimits, Connections
from kappi_chassis.http.protocol import BoundedHttpProtocol, cutting

BACKLOG = 2_048


class HttpServer:
    """One listening port.

    `serve` runs until `stop`; accepted requests are finished within `drain_timeout`.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        drain_timeout: timedelta = timedelta(seconds=20),
        keep_alive: timedelta = timedelta(seconds=75),
        connections: ConnectionLimits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._connections = Connections(connections or ConnectionLimits())
        self._server = _Server(
            uvicorn.Config(
                cutting(app),
                # One set of connections per port, because a protocol object is one connection.
                http=partial(  # type: ignore[arg-type]  # uvicorn calls it, as it would a class
                    BoundedHttpProtocol, connections=self._connections
                ),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                date_header=False,
                proxy_headers=False,  # uvicorn would trust any local peer; the gateway decides
                ws="none",
                backlog=BACKLOG,
                timeout_keep_alive=math.ceil(keep_alive.total_seconds()),
                timeout_graceful_shutdown=max(1, math.ceil(drain_timeout.total_seconds())),
            )
        )

    async def serve(self) -> None:
        """Raises OSError if the port is not available."""
        # Bound here, because uvicorn would end the process itself, without closing other parts.
        listening = _listen(self._host, self._port)
        try:
            await self._server.serve(sockets=[listening])
        except BaseException:
            # Cancelled, or failed: open requests are not waited for.
            self._server.force_exit = True
            if self._server.started:
                await self._server.shutdown(sockets=[listening])
            raise
        finally:
            listening.close()

    def drain(self) -> None:
        """Ends each connection after its next answer, which says so.

        A connection that closes between two requests would lose the one that is on its way.
        """
        self._connections.drains = True

    def stop(self) -> None:
        """Ends `serve`. Any thread may call it."""
        self._server.stop()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Waits for `stop`. uvicorn's own loop wakes ten times a second for a header that is not sent."""
        self._loop = asyncio.get_running_loop()
        try:
            await self.on_tick(0)
            if not self.should_exit:
                await self._told.wait()
        finally:
            self._loop = None

    def capture_signals(self) -> Any:
        """Captures none, because signals belong to the runtime, which drains in order."""
        return nullcontext()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
