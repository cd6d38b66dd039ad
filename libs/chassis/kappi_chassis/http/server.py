"""Serving: uvicorn inside our own life cycle, so that draining has an order (ADR-0006)."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import uvicorn

from kappi_chassis.http.protocol import BoundedHttpProtocol


class HttpServer:
    """One listening port. `serve` runs until `stop`; what was accepted is finished within `drain_timeout`."""

    def __init__(
        self, app: Any, *, host: str, port: int, drain_timeout: timedelta = timedelta(seconds=20)
    ) -> None:
        self._server = _Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=BoundedHttpProtocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                date_header=False,
                proxy_headers=False,  # uvicorn would believe anyone on this machine; the gateway decides
                ws="none",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=int(drain_timeout.total_seconds()),
            )
        )

    async def serve(self) -> None:
        """Raises SystemExit when the port cannot be had."""
        await self._server.serve()

    def stop(self) -> None:
        self._server.should_exit = True


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals belong to the runtime, which drains in order."""

    def capture_signals(self) -> Any:
        return nullcontext()
