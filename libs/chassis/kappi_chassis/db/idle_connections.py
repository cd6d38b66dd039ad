"""Closes connections of SQLAlchemy's pool that are not needed: each is a process of PostgreSQL with some
megabytes.

SQLAlchemy's pool keeps as many connections as were ever in use at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from kappi_chassis.observability.logs import get_logger

IDLE_S: Final = 60.0

_log = get_logger(__name__)


class IdleConnections:
    """Keeps as many connections as were in use at once within the last minute, at least one.

    engine: its pool must lend the connection that came back last (`pool_use_lifo`).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._pool: Any = engine.pool
        self._most = 0
        self.open = 0
        """The number of open connections. The pool's own number counts closed ones, too."""
        event.listen(engine.sync_engine, "connect", self._opened)
        event.listen(engine.sync_engine, "close", self._closed)
        event.listen(engine.sync_engine, "checkout", self._lent)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(IDLE_S)
            try:
                await self.close_surplus()
            except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.info("database.idle_connections_kept", error_type=type(error).__name__)

    async def close_surplus(self) -> None:
        """Closes the connections above the greatest number in use since the last call."""
        most, self._most = self._most, self._pool.checkedout()
        surplus = self.open - max(1, most)
        idle = self.open - self._pool.checkedout()
        if surplus <= 0 or idle <= 0:
            return
        async with AsyncExitStack() as borrowed:
            # The last in is the first to go back, so the kept ones are lent first afterwards.
            connections: Sequence[AsyncConnection] = [
                await borrowed.enter_async_context(self._engine.connect()) for _ in range(idle)
            ]
            for connection in connections[max(0, idle - surplus) :]:
                await connection.invalidate()
        self._most = self._pool.checkedout()  # borrowing counted as use

    def _opened(self, *_: Any) -> None:
        self.open += 1

    def _closed(self, *_: Any) -> None:
        self.open -= 1

    def _lent(self, *_: Any) -> None:
        self._most = max(self._most, self._pool.checkedout())
