"""Reads databases and stores directly, without the services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from kappi_contracts.services import DATABASES as DATABASES

from tests.e2e.stacks import StackUnderTest

_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name
"""
# A row as JSON shows every column, also columns added later; bytes are in hexadecimal.
_HOLDING = """
SELECT count(*) FROM {table} AS held, LATERAL (SELECT lower(to_jsonb(held)::text) AS text) AS shown
WHERE strpos(shown.text, lower($1)) > 0 OR strpos(shown.text, encode(convert_to($1, 'UTF8'), 'hex')) > 0
"""


@asynccontextmanager
async def database(stack: StackUnderTest, service: str) -> AsyncIterator[Any]:
    """Opens a connection to a service's database."""
    connection = await asyncpg.connect(stack.running.database_url(service), timeout=10, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def rows_about(stack: StackUnderTest, needle: str) -> dict[str, int]:
    """Returns the rows that contain a text in any column, by `service.table`, without empty tables."""
    found: dict[str, int] = {}
    for service in DATABASES:
        async with database(stack, service) as connection:
            for (table,) in await connection.fetch(_TABLES):
                count = await connection.fetchval(_HOLDING.format(table=f'"{table}"'), needle)
                if count:
                    found[f"{service}.{table}"] = count
    return found


async def ask_database(stack: StackUnderTest, service: str, statement: str, *values: Any) -> Any:
    """Returns the first value of a query."""
    async with database(stack, service) as connection:
        return await connection.fetchval(statement, *values)


async def objects_under(stack: StackUnderTest, prefix: str) -> list[str]:
    """Returns the keys of the existing objects."""
    store = stack.object_store()
    try:
        keys: list[str] = []
        token = None
        while True:
            page = await store.list_page(prefix, token=token)
            keys += [found.key for found in page.objects]
            token = page.next_token
            if token is None:
                return keys
    finally:
        await store.close()


async def versions_left_under(stack: StackUnderTest, prefix: str) -> int:
    """Returns versions and delete markers that a purge left. It deletes them, so a second call finds none."""
    store = stack.object_store()
    try:
        report = await store.delete_versions_page(prefix)
        return report.deleted + len(report.failed)
    finally:
        await store.close()


async def events_by_key(stack: StackUnderTest, service: str, topic: str) -> Mapping[str, int]:
    """Returns the numbers of events of a topic that a service has published, by aggregate."""
    async with database(stack, service) as connection:
        rows = await connection.fetch("SELECT key, count(*) FROM outbox WHERE topic = $1 GROUP BY key", topic)
    return {row[0]: row[1] for row in rows}


async def event_ids(stack: StackUnderTest, service: str, topic: str) -> list[UUID]:
    """Returns the ids of all events of a topic that a service has published."""
    async with database(stack, service) as connection:
        rows = await connection.fetch("SELECT event_id FROM outbox WHERE topic = $1", topic)
    return [row[0] for row in rows]


async def recorded_ids(stack: StackUnderTest, service: str, consumer: str) -> list[UUID]:
    """Returns the ids of all events whose effect a consumer has committed."""
    async with database(stack, service) as connection:
        rows = await connection.fetch("SELECT event_id FROM inbox WHERE consumer = $1", consumer)
    return [row[0] for row in rows]
