"""The table of runs: the state of each check, where it continues, and what it found.

The row of a check is its queue, too: a tick or an operator requests a run, and a worker takes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from kappi_chassis.db import Database

EXAMPLES = 20
"""Number of differences that a run names, of each check."""

_REGISTER = "INSERT INTO reconciliations (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
# A run that is under way continues; one that was never begun, or ended long ago, begins.
_OPEN_BUDGET = """
UPDATE reconciliations SET work_until = greatest(work_until, $2)
WHERE name = ANY($1) AND requested_at IS NOT NULL AND finished_at IS NULL AND work_until IS NOT NULL
"""
_BEGIN_DUE = """
UPDATE reconciliations SET requested_at = $2, work_until = $3, repair = false, position = '', examined = 0,
  found = '{}', examples = '[]', lease_id = NULL, leased_until = NULL, finished_at = NULL, last_error = NULL
WHERE name = ANY($1)
  AND (requested_at IS NULL OR finished_at IS NOT NULL AND requested_at <= $4::timestamptz)
"""
_REQUEST = """
UPDATE reconciliations SET requested_at = now(), work_until = NULL, repair = $1, position = '', examined = 0,
  found = '{}', examples = '[]', lease_id = NULL, leased_until = NULL, finished_at = NULL, last_error = NULL
"""
# A command that was interrupted and is called again continues its run.
_RESUME = """
UPDATE reconciliations SET work_until = NULL
WHERE requested_at IS NOT NULL AND finished_at IS NULL AND repair = $1
"""
_UNFINISHED = """
SELECT count(*) FROM reconciliations
WHERE requested_at IS NOT NULL AND finished_at IS NULL AND repair = $1 AND work_until IS NULL
"""
_TAKE = """
WITH due AS MATERIALIZED (
  SELECT name FROM reconciliations
  WHERE name = ANY($1) AND requested_at IS NOT NULL AND finished_at IS NULL
    AND (work_until IS NULL OR work_until > $2) AND (leased_until IS NULL OR leased_until <= $2)
  ORDER BY requested_at, array_position($1, name) LIMIT $5 FOR UPDATE SKIP LOCKED)
UPDATE reconciliations r SET lease_id = $3, leased_until = $4 FROM due WHERE r.name = due.name
RETURNING r.name, r.lease_id, r.repair, r.position, r.work_until
"""
_ADVANCE = """
UPDATE reconciliations r SET position = coalesce($3, ''), examined = examined + $4, found = $5,
  examples = (SELECT coalesce(jsonb_agg(each), '[]') FROM (
    SELECT each FROM jsonb_array_elements(r.examples || $6) AS t (each) LIMIT $7) AS kept),
  leased_until = $8, finished_at = CASE WHEN $3::text IS NULL THEN $9::timestamptz END, last_error = NULL
WHERE name = $1 AND lease_id = $2
RETURNING finished_at
"""
_FOUND = "SELECT found FROM reconciliations WHERE name = $1 AND lease_id = $2"
_RELEASE = """
UPDATE reconciliations SET lease_id = NULL, leased_until = $3, last_error = $4
WHERE name = $1 AND lease_id = $2
"""
_READ = """
SELECT name, repair, requested_at, finished_at, examined, found, examples, last_error FROM reconciliations
ORDER BY name
"""

Counts = dict[str, list[int]]
"""Numbers of differences by kind: found, and repaired."""


class Lease(NamedTuple):
    """A run that this process works on. work_until: None for no limit."""

    name: str
    lease_id: UUID
    repair: bool
    position: str
    work_until: datetime | None


class Run(NamedTuple):
    """The newest run of a check. requested_at: None if there was none. finished_at: None until its end."""

    name: str
    repair: bool
    requested_at: datetime | None
    finished_at: datetime | None
    examined: int
    found: Counts
    examples: Sequence[Mapping[str, Any]]
    last_error: str | None

    @property
    def is_finished(self) -> bool:
        return self.requested_at is not None and self.finished_at is not None


class RunQueries:
    """The worker's side. Statements run outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, names: Collection[str]) -> None:
        """Adds rows for checks that have none."""
        await self._database.hot.execute(_REGISTER, list(names))

    async def open_budget(
        self, names: Collection[str], *, now: datetime, until: datetime, due_before: datetime
    ) -> None:
        """Lets unfinished runs work until an instant, and begins those requested before `due_before`."""
        await self._database.hot.execute(_OPEN_BUDGET, list(names), until)
        await self._database.hot.execute(_BEGIN_DUE, list(names), now, until, due_before)

    async def take(
        self, names: Sequence[str], *, lease_id: UUID, now: datetime, until: datetime, limit: int
    ) -> list[Lease]:
        records = await self._database.hot.fetch(_TAKE, list(names), now, lease_id, until, limit)
        return [Lease._make(record) for record in records]

    async def advance(
        self,
        lease: Lease,
        *,
        after: str | None,
        examined: int,
        counts: Counts,
        examples: Sequence[Mapping[str, Any]],
        leased_until: datetime,
        now: datetime,
    ) -> bool:
        """Adds a page to a run. after: None ends it. Returns False when the lease was lost."""
        async with self._database.hot.acquire() as connection, connection.transaction():
            found: Counts | None = await connection.fetchval(_FOUND, lease.name, lease.lease_id)
            if found is None:
                return False
            for kind, (seen, repaired) in counts.items():
                before = found.get(kind, [0, 0])
                found[kind] = [before[0] + seen, before[1] + repaired]
            advanced = await connection.fetchrow(
                *(_ADVANCE, lease.name, lease.lease_id, after, examined, found),
                *(list(examples), EXAMPLES, leased_until, now),
            )
        return advanced is not None

    async def release(self, lease: Lease, *, not_before: datetime | None, error: str | None) -> None:
        """Ends a lease before the end of its run."""
        await self._database.hot.execute(_RELEASE, lease.name, lease.lease_id, not_before, error)

    async def all(self) -> list[Run]:
        return [Run._make(record) for record in await self._database.hot.fetch(_READ)]


async def request_check(url: str) -> None:
    """Has every check of a database run from the beginning, without repairs and without a limit of time.

    A run without repairs that is under way continues.
    """
    await _request(url, repair=False)


async def request_repair(url: str) -> None:
    """As `request_check`, with repairs."""
    await _request(url, repair=True)


async def read_runs(url: str) -> list[Run]:
    """Returns the newest run of every check of a database."""
    async with _connected(url) as connection:
        return [Run._make(record) for record in await connection.fetch(_READ)]


async def _request(url: str, *, repair: bool) -> None:
    async with _connected(url) as connection, connection.transaction():
        if await connection.fetchval(_UNFINISHED, repair):
            await connection.execute(_RESUME, repair)
        else:
            await connection.execute(_REQUEST, repair)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=msgspec.json.decode,
        )  # fmt: skip
        yield connection
    finally:
        await connection.close(timeout=5)
