"""Databases for tests: copied once from a migrated template, then emptied and reused."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from kappi_chassis.db.migrations import migrate

T = TypeVar("T")
Prepare = Callable[[str], None]

_numbers = itertools.count(1)
_GROWTH_LIMIT_BYTES = 8 * 1024 * 1024

_TERMINATE_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# The state that a test could change and that deleting rows does not undo. Statistics are part of it, because
# plans depend on them.
_FINGERPRINT = """
SELECT md5(string_agg(each, ' ' ORDER BY each)) FROM (
    SELECT (oid, relname, relkind)::text AS each FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT (attrelid, attnum, attname, atttypid, attnotnull)::text
        FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT (oid, conname)::text FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT (oid, proname)::text FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT (oid, tgname, tgenabled)::text FROM pg_trigger
    UNION ALL SELECT (schemaname, tablename, attname)::text
        FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    UNION ALL SELECT (setdatabase, setrole, setconfig)::text FROM pg_db_role_setting
) AS schema_objects (each)
"""
_TABLES = """
SELECT nspname, relname, format('%I.%I', nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND pg_class.oid >= 16384
"""
_SIZE = "SELECT pg_database_size(current_database())"
_SEQUENCES = """
SELECT format('SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename),
              coalesce(last_value, start_value), last_value IS NOT NULL)
FROM pg_sequences
"""


@dataclass(frozen=True, slots=True)
class _Pristine:
    """The first state of a template's copy, to detect changes and to restore it.

    rows: by schema and table, of each table that has some, in COPY's text format. statements: empty all
    tables and reset all sequences.
    """

    fingerprint: str
    size_bytes: int
    rows: dict[tuple[str, str], bytes]
    statements: str


class DatabasePool:
    """The databases of one test process on one server. admin_url: an address that may create databases.

    prefix: start of every name, so that runs and workers that share a server stay apart. template_prefix:
    start of templates' names; workers of one run share them.
    """

    def __init__(self, admin_url: str, *, prefix: str, template_prefix: str) -> None:
        self._admin_url = admin_url
        self._prefix = prefix
        self._template_prefix = template_prefix
        self._idle: dict[str, list[str]] = {}
        self._pristine: dict[str, _Pristine] = {}

    def take(self, template_key: str | None, prepare: Prepare | None) -> str:
        """Returns the name of an unused database: empty, or as `prepare` left its template."""
        if template_key is None or prepare is None:
            return self._create()
        idle = self._idle.get(template_key)
        if idle:
            return idle.pop()
        name = self._create(self._template(template_key, prepare))
        if template_key not in self._pristine:
            self._pristine[template_key] = in_own_loop(_describe(self.url(name)))
        return name

    def give_back(self, name: str, template_key: str | None) -> None:
        """Ends all its connections. A template's copy is emptied and kept; any other database is dropped.

        A copy is dropped if a test changed its schema, settings or statistics, or if it grew by megabytes.
        """
        pristine = self._pristine.get(template_key) if template_key is not None else None
        if pristine is not None and in_own_loop(_restore(self.url(name), pristine)):
            self._idle.setdefault(str(template_key), []).append(name)
        else:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Drops a database, also one with open connections."""
        in_own_loop(self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def close(self) -> None:
        """Drops the idle databases."""
        for name in itertools.chain.from_iterable(self._idle.values()):
            self.drop(name)
        self._idle.clear()

    def drop_templates(self) -> None:
        """Drops every template of the run."""
        in_own_loop(self._drop_templates())

    def url(self, name: str) -> str:
        return with_database(self._admin_url, name)

    def _create(self, template: str | None = None) -> str:
        name = f"{self._prefix}_{next(_numbers)}"
        source = f' TEMPLATE "{template}"' if template else ""
        in_own_loop(self._execute(f'CREATE DATABASE "{name}"{source}'))
        return name

    def _template(self, key: str, prepare: Prepare) -> str:
        digest = hashlib.sha256(key.encode()).hexdigest()
        name = f"{self._template_prefix}_{digest[:16]}"
        in_own_loop(self._fill_template(name, prepare, lock=int(digest[:15], 16)))
        return name

    async def _fill_template(self, name: str, prepare: Prepare, *, lock: int) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            # Workers of the run ask at the same time: one fills it, the others wait here.
            await connection.execute("SELECT pg_advisory_lock($1)", lock)
            if await connection.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name):
                return
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # half filled
            await connection.execute(f'CREATE DATABASE "{name}"')
            await asyncio.to_thread(prepare, self.url(name))
            # A template in use cannot be copied: refuse new connections, then end the open ones.
            await connection.execute(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE true ALLOW_CONNECTIONS false')
            await connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
            )
        finally:
            await connection.close()

    async def _drop_templates(self) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            for row in await connection.fetch(
                "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", self._template_prefix
            ):
                await connection.execute(f'ALTER DATABASE "{row["datname"]}" IS_TEMPLATE false')
                await connection.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        finally:
            await connection.close()

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class DatabaseMaker:
    """Makes the databases of one test or one module, and takes them back at its end."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._taken: list[tuple[str, str | None]] = []

    def __call__(self, template_key: str | None = None, prepare: Prepare | None = None) -> str:
        """Returns the address of a new database: empty, or as the template that `prepare(address)` filled.

        prepare: runs migrations, once per run and template_key, in a thread without an event loop.
        """
        name = self._pool.take(template_key, prepare)
        self._taken.append((name, template_key))
        return self._pool.url(name)

    def migrated(self, service: str) -> str:
        """Returns the address of a new database of a service, after its migrations."""
        return self(service, lambda url: asyncio.run(migrate(f"kappi_{service}", url)))

    def close(self) -> None:
        """Gives the databases back. Open connections end."""
        while self._taken:
            self._pool.give_back(*self._taken.pop())


async def _describe(url: str) -> _Pristine:
    connection = await asyncpg.connect(url)
    try:
        rows: dict[tuple[str, str], bytes] = {}
        statements = ["SET session_replication_role = replica"]  # no triggers, no foreign keys: in any order
        for schema, table, quoted in await connection.fetch(_TABLES):
            statements.append(f"DELETE FROM {quoted}")  # noqa: S608 - quoted by the server
            copied = io.BytesIO()
            await connection.copy_from_table(table, schema_name=schema, output=copied)
            if copied.tell():
                rows[schema, table] = copied.getvalue()
        statements += [row[0] for row in await connection.fetch(_SEQUENCES)]
        return _Pristine(
            fingerprint=await connection.fetchval(_FINGERPRINT),
            size_bytes=await connection.fetchval(_SIZE),
            rows=rows,
            statements="; ".join(statements),
        )
    finally:
        await connection.close()


async def _restore(url: str, pristine: _Pristine) -> bool:
    """Restores the database; returns False if it cannot be restored to its first state."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_TERMINATE_OTHERS)
        if await connection.fetchval(_FINGERPRINT) != pristine.fingerprint:
            return False
        if await connection.fetchval(_SIZE) > pristine.size_bytes + _GROWTH_LIMIT_BYTES:
            return False
        await connection.execute(pristine.statements)
        for (schema, table), rows in pristine.rows.items():
            await connection.copy_to_table(table, schema_name=schema, source=io.BytesIO(rows))
    except asyncpg.InsufficientPrivilegeError:  # an external server, whose account may only create databases
        return False
    finally:
        await connection.close()
    return True


def with_database(url: str, name: str) -> str:
    """Returns the same server's address of another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end from any place: a test's own event loop may be running in this thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="databases") as thread:
        return thread.submit(asyncio.run, work).result()
