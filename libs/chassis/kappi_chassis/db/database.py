"""One service's database: SQLAlchemy Core for most statements, asyncpg for the few hot ones (ADR-0006)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kappi_chassis.db.idle_connections import IDLE_S, IdleConnections
from kappi_chassis.db.statement_spans import note_statement, trace_statements
from kappi_chassis.observability import metrics, tracing

COMMAND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0

_TRANSACTION_WAIT = metrics.POOL_WAIT_SECONDS.labels("transactions")
_STATEMENT_WAIT = metrics.POOL_WAIT_SECONDS.labels("statements")


class Database:
    """Two connection pools for one database; nothing connects before `start`."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """url: `postgresql://user:password@host:port/name`.

        pool_size: greatest number of connections per pool.
        """
        self.url = url
        self._pool_size = pool_size
        self._engine: AsyncEngine | None = None
        self._hot: StatementPool | None = None
        self._trimming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError, PostgresError if the database does not answer."""
        self._engine = create_async_engine(
            self.url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=COMMAND_TIMEOUT_S,
            pool_use_lifo=True,
            connect_args={"command_timeout": COMMAND_TIMEOUT_S, "timeout": COMMAND_TIMEOUT_S},
            hide_parameters=True,  # an error's text ends up in logs and dead letters
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)
        self._trimming = asyncio.create_task(IdleConnections(self._engine).run(), name="idle connections")
        if tracing.tracer is not None:
            trace_statements(self._engine.sync_engine)
        pool = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._pool_size,
            command_timeout=COMMAND_TIMEOUT_S,
            timeout=COMMAND_TIMEOUT_S,
            max_inactive_connection_lifetime=IDLE_S,
            init=_set_up,
            connection_class=_HotConnection,
        )
        self._hot = StatementPool(pool)
        _show_use(self._pool_size, transactions=self._engine, statements=pool)

    async def close(self) -> None:
        """Closes the pools in bounded time: connections still in use then are cut off."""
        if self._trimming is not None:
            self._trimming.cancel()
            await asyncio.wait([self._trimming])
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
        began = time.perf_counter()
        async with self._engine.begin() as connection:
            _TRANSACTION_WAIT.observe(time.perf_counter() - began)
            yield connection

    @property
    def hot(self) -> StatementPool:
        """The asyncpg pool. A single statement on it is its own transaction: one round trip."""
        if self._hot is None:
            raise RuntimeError("Database.start was not called")
        return self._hot

    async def ready(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))


class StatementPool:
    """An asyncpg pool that measures how long each statement waits for a connection."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.close = pool.close
        self.terminate = pool.terminate

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Lends an asyncpg connection."""
        connection = await self._acquired()
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """Lends an asyncpg connection in a transaction, which commits on leaving and rolls back on an
        exception.
        """
        async with self.acquire() as connection, connection.transaction():
            yield connection

    async def execute(self, statement: str, *values: Any) -> str:
        connection = await self._acquired()
        try:
            status: str = await connection.execute(statement, *values)
        finally:
            await self._pool.release(connection)
        return status

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        async with self.acquire() as connection:
            await connection.executemany(statement, rows)

    async def fetch(self, statement: str, *values: Any, **options: Any) -> list[Any]:
        """options: `timeout` in seconds, as in asyncpg."""
        connection = await self._acquired()
        try:
            rows: list[Any] = await connection.fetch(statement, *values, **options)
        finally:
            await self._pool.release(connection)
        return rows

    async def fetchrow(self, statement: str, *values: Any, **options: Any) -> Any:
        """options: as in `fetch`."""
        connection = await self._acquired()
        try:
            return await connection.fetchrow(statement, *values, **options)
        finally:
            await self._pool.release(connection)

    async def fetchval(self, statement: str, *values: Any) -> Any:
        connection = await self._acquired()
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await self._pool.release(connection)

    async def _acquired(self) -> Any:
        # No context manager, because a statement of these paths costs little more than one.
        began = time.perf_counter()
        connection = await self._pool.acquire()
        _STATEMENT_WAIT.observe(time.perf_counter() - began)
        return connection


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


def _show_use(size: int, *, transactions: AsyncEngine, statements: asyncpg.Pool) -> None:
    pool: Any = transactions.pool
    metrics.POOL_CONNECTIONS.labels("transactions").set_function(pool.checkedout)
    metrics.POOL_CONNECTIONS.labels("statements").set_function(
        lambda: statements.get_size() - statements.get_idle_size()
    )
    for name in ("transactions", "statements"):
        metrics.POOL_SIZE.labels(name).set(size)


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
