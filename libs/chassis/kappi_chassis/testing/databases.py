"""A fresh database per test, copied from a template that was migrated once per run."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")

_numbers = itertools.count(1)


class DatabaseMaker:
    """Makes databases on one server. admin_url: an address whose account may create databases.

    prefix: begins every name, so that runs and workers that share a server stay apart.
    template_prefix: begins templates' names; workers of one run share them.
    """

    def __init__(self, admin_url: str, *, prefix: str, template_prefix: str) -> None:
        self._admin_url = admin_url
        self._prefix = prefix
        self._template_prefix = template_prefix
        self._made: list[str] = []

    def __call__(self, template_key: str | None = None, prepare: Callable[[str], None] | None = None) -> str:
        """Address of a new database: empty, or a copy of the template that `prepare(address)` filled.

        prepare: runs migrations, once per run and template_key, in a thread without an event loop.
        """
        template = None
        if template_key is not None and prepare is not None:
            template = self._template(template_key, prepare)
        name = f"{self._prefix}_{next(_numbers)}"
        source = f' TEMPLATE "{template}"' if template else ""
        in_own_loop(self._execute(f'CREATE DATABASE "{name}"{source}'))
        self._made.append(name)
        return with_database(self._admin_url, name)

    def drop_all(self) -> None:
        """Drop what this made, whoever is still connected."""
        while self._made:
            in_own_loop(self._execute(f'DROP DATABASE IF EXISTS "{self._made.pop()}" WITH (FORCE)'))

    def drop_templates(self) -> None:
        """Drop every template of the run."""
        in_own_loop(self._drop_templates())

    def _template(self, key: str, prepare: Callable[[str], None]) -> str:
        digest = hashlib.sha256(key.encode()).hexdigest()
        name = f"{self._template_prefix}_{digest[:16]}"
        in_own_loop(self._fill_template(name, prepare, lock=int(digest[:15], 16)))
        return name

    async def _fill_template(self, name: str, prepare: Callable[[str], None], *, lock: int) -> None:
        connection = await asyncpg.connect(self._admin_url)
        try:
            # Workers of the run ask at the same time: one fills it, the others wait here.
            await connection.execute("SELECT pg_advisory_lock($1)", lock)
            if await connection.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name):
                return
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # half filled
            await connection.execute(f'CREATE DATABASE "{name}"')
            await asyncio.to_thread(prepare, with_database(self._admin_url, name))
            # A template in use cannot be copied: close the door, then show out who lingers.
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


def with_database(url: str, name: str) -> str:
    """The same server's address of another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from anywhere: a test's own event loop may be running in this thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="databases") as thread:
        return thread.submit(asyncio.run, work).result()
