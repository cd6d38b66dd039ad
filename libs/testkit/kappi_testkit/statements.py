"""Records the statements that a piece of work sends to PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kappi_chassis.db import Database
from sqlalchemy import event

_OF_THE_DRIVER = ("pg_catalog", "'jit'", "pg_advisory_unlock_all")
_OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK")


@asynccontextmanager
async def recorded_statements(database: Database) -> AsyncIterator[list[str]]:
    """Yields a list that gets each statement of both pools of a database, until the end of the block.

    database: with a pool size of 1, because the connection of hot statements is observed, and no other.
    """
    heard: list[str] = []
    engine: Any = database._engine

    def note(text: str) -> None:
        if not any(mark in text for mark in _OF_THE_DRIVER) and not text.startswith(_OF_TRANSACTIONS):
            heard.append(" ".join(text.split()))

    def note_of_driver(record: Any) -> None:
        note(record.query)

    def note_of_cursor(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        note(statement)

    def listen(connection: Any, *_: Any) -> None:
        # Statements written for asyncpg do not go through a cursor.
        connection.driver_connection.add_query_logger(note_of_driver)

    event.listen(engine.sync_engine, "before_cursor_execute", note_of_cursor)
    event.listen(engine.sync_engine, "checkout", listen)
    async with database.hot.acquire() as connection:
        connection.add_query_logger(note_of_driver)
    try:
        yield heard
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note_of_cursor)
        event.remove(engine.sync_engine, "checkout", listen)
        async with database.hot.acquire() as connection:
            connection.remove_query_logger(note_of_driver)
