"""What a database needs after it went back in time, because it was restored from a backup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Column
from sqlalchemy import Sequence as Numbers

LEAP: Final = 1_000_000
"""Far more than an aggregate changes between two backups."""


async def leap(url: str, *, versions: Sequence[Column[Any]], numbers: Sequence[Numbers]) -> None:
    """Raises all versions and numbers that a database gives out by `LEAP`.

    Other services have seen events with the sequences that the restored database would give out once more,
    and would ignore the new ones. versions: columns from which sequences of events are taken. Doing it twice
    does no harm. Takes as long as a write of these tables; no service may use the database meanwhile. Raises
    OSError, PostgresError.
    """
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            for column in versions:
                table, name = column.table.name, column.name
                await connection.execute(f'UPDATE "{table}" SET "{name}" = "{name}" + {LEAP}')  # noqa: S608 - names of the schema
            for each in numbers:
                await connection.fetchval(f"SELECT setval('{each.name}', nextval('{each.name}') + {LEAP})")
    finally:
        await connection.close(timeout=5)
