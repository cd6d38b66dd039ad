"""Records the statements that a piece of work sends to PostgreSQL, and reads by which keys they find rows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kappi_chassis.db import Database
from kappi_chassis.db.statement_spans import statement_name
from sqlalchemy import event

_OF_THE_DRIVER = ("pg_catalog", "'jit'", "pg_advisory_unlock_all")
_OF_TRANSACTIONS = re.compile(r"\s*(?:BEGIN|COMMIT|ROLLBACK|SELECT 1\s*;?$)")
_NAMED = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+(?:ONLY\s+)?(\w+)(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE
)
_INSERTED = r"\bINTO\s+{table}\s*(?:AS\s+\w+\s*)?\(([^)]*)\)"
_COMPARED = r"(?<![\w.]){column}\s*(?:=|IN\b|IS NOT DISTINCT FROM)"
_DERIVED = re.compile(r"(\w+)\s+AS\s+(?:MATERIALIZED\s+)?\(|\bAS\s+(\w+)\s*\(", re.IGNORECASE)
_NO_TABLES = frozenset({"select", "set", "unnest", "json_to_recordset", "lateral", "of"})
_CONSTANT_LOCK = re.compile(r"pg_(?:try_)?advisory_\w+\(\s*[\d']", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """The columns by which rows can be divided among databases.

    columns: of each table, the key's column, and the columns by which a row is looked up in its place, each
    with what it names. local: tables whose rows stay beside what they are about. copied: small tables that
    every database would have a copy of.
    """

    columns: Mapping[str, Mapping[str, str]]
    local: frozenset[str] = frozenset()
    copied: frozenset[str] = frozenset()


@asynccontextmanager
async def recorded_statements(database: Database) -> AsyncIterator[list[str]]:
    """Yields a list that gets each statement of both pools of a database, until the end of the block.

    database: with a pool size of 1, because the connection of hot statements is observed, and no other.
    """
    heard: list[str] = []
    engine: Any = database._engine

    def note(text: str) -> None:
        if not any(mark in text for mark in _OF_THE_DRIVER) and not _OF_TRANSACTIONS.match(text):
            heard.append(text)

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


def without_key(statements: Iterable[str], keys: ShardKeys) -> set[tuple[str, str]]:
    """Returns (statement, table) wherever a statement finds or adds rows of a table without a key of it.

    The statements have the names that `statement_name` gives.
    """
    return {
        (statement_name(text), table)
        for text in statements
        for table, found in _keys_named(text, keys)
        if not found
    }


def with_several_keys(statements: Iterable[str], keys: ShardKeys) -> dict[str, set[str]]:
    """Returns what the keys of a statement name, for each statement whose tables have different keys."""
    named = {
        statement_name(text): {found[0] for _, found in _keys_named(text, keys) if found}
        for text in statements
    }
    return {name: kinds for name, kinds in named.items() if len(kinds) > 1}


def constant_locks(statements: Iterable[str]) -> set[str]:
    """Returns the statements that take an advisory lock by a number that is the same for all callers."""
    return {statement_name(text) for text in statements if _CONSTANT_LOCK.search(text)}


def _keys_named(text: str, keys: ShardKeys) -> Iterator[tuple[str, list[str]]]:
    """Yields each table of a statement with what its named keys name, the table's own key first.

    Raises KeyError for a table that is not in the rules.
    """
    derived = {name.lower() for names in _DERIVED.findall(text) for name in names}
    aliases: dict[str, set[str]] = {}
    for table, alias in _NAMED.findall(text):
        if table.lower() not in derived | _NO_TABLES:
            aliases.setdefault(table, set()).add(alias)
    for table in aliases.keys() - keys.local - keys.copied:
        if table not in keys.columns:
            raise KeyError(f"{table}, in {statement_name(text)}: {text}")
        yield (
            table,
            [
                names
                for column, names in keys.columns[table].items()
                if _names_key(text, table, aliases[table], column)
            ],
        )


def _names_key(text: str, table: str, aliases: set[str], column: str) -> bool:
    inserted = re.findall(_INSERTED.format(table=table), text, re.IGNORECASE)
    if any(column in re.split(r"[\s,]+", columns) for columns in inserted):
        return True
    spelled = [column, *(rf"{re.escape(alias)}\.{column}" for alias in {*aliases, table} if alias)]
    return any(re.search(_COMPARED.format(column=each), text, re.IGNORECASE) for each in spelled)
