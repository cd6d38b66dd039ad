"""One service's database: SQLAlchemy Core for most statements, asyncpg for the few hot ones (ADR-0006)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kappi_chassis.db.statement_spans import note_statement, trace_statements
from kappi_chassis.observability import tracing

COMMAND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0


class Database:
    """Two connection pools for one database; nothing connects before `start`."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """url: `postgresql://user:password@host:port/name`.

        pool_size: greatest number of connections per pool.
        """
        self.url = url
        self._pool_size = pool_size
        self._engine: AsyncEngine | None = None
        self._hot: asyncpg.Pool | None = None

    async def start(self) -> None:
        """Raises OSError, PostgresError if the database does not answer."""
        self._engine = create_async_engine(
            self.url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=COMMAND_TIMEOUT_S,
            connect_args={"command_timeout": COMMAND_TIMEOUT_S, "timeout": COMMAND_TIMEOUT_S},
            hide_parameters=True,  # an error's text ends up in logs and dead letters
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        if tracing.tracer is not None:
            trace_statements(self._engine.sync_engine)
        self._hot = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._pool_size,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=COMMAND_TIMEOUT_S,
            init=_set_up,
            connection_class=_HotConnection,
        )

    async def close(self) -> None:
        """Closes the pools in bounded time: connections still in use then are cut off."""
        if self._hot is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._hot.close()
            except TimeoutError:
                self._hot.terminate()
        if self._engine is not None:
            await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One use case is one transaction: it commits on leaving and rolls back on an exception."""
        if self._engine is None:
            raise RuntimeError("Database.start was not called")
        async with self._engine.begin() as connection:
            yield connection

    @property
    def hot(self) -> Any:
        """The asyncpg pool. A single statement on it is its own transaction: one round trip."""
        if self._hot is None:
            raise RuntimeError("Database.start was not called")
        return self._hot

    async def ready(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))


async def driver_of(connection: AsyncConnection) -> Any:
    """Returns the asyncpg connection of a transaction, for a statement written for asyncpg.

    SQLAlchemy begins the transaction with its own first statement; before that, asyncpg would commit each
    statement alone.
    """
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    if not driver.is_in_transaction():
        await connection.execute(text("SELECT 1"))
    return driver


def _refuse_closed(connection: Any, *_: Any) -> None:
    """Refuses a connection that the server closed while it was idle, so that the pool takes another.

    Unlike a ping, this needs no round trip.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("closed while idle")


class _HotConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg publishes no types
    """A connection without reset on its return to the pool.

    Single statements leave no session state, and asyncpg's reset is a second round trip after each of them.
    """

    def get_reset_query(self) -> str:
        return ""


async def _set_up(connection: Any) -> None:
    if tracing.tracer is not None:
        connection.add_query_logger(note_statement)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )
