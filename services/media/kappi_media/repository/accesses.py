"""Counted accesses on their way to the galleries service, and the log that stays here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow

from kappi_media.domain import GalleryId

FLUSHES: Final = "access-flush"
"""Consumer name under which flushes that are done are recorded in the inbox."""
MAX_LINES_PER_HOUR: Final = 200
"""Of one gallery; beyond them a network is logged as `other`."""

_RECORD = "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
_PUBLISH = """
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT e.*, f.sequence
FROM (SELECT nextval('access_flushes') AS sequence) f,
     unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[]) AS e
"""
# A deletion under way is waited for, so that no line of the gallery is left behind it.
_HOLD = """
SELECT gallery_id FROM contents
WHERE gallery_id = ANY($1) AND deleted_at IS NULL ORDER BY gallery_id FOR SHARE
"""
_GONE = "SELECT gallery_id FROM contents WHERE gallery_id = ANY($1) AND deleted_at IS NOT NULL"
_LOG = """
WITH fresh AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
    AS f (id, gallery_id, kind, network, count)
), held AS (
  SELECT l.gallery_id, count(*) AS lines FROM access_log l
  WHERE l.gallery_id = ANY($2) AND l.hour = $6 GROUP BY l.gallery_id
), placed AS (
  SELECT f.id, f.gallery_id, f.kind, f.count, CASE
    WHEN coalesce(held.lines, 0)
      + row_number() OVER (PARTITION BY f.gallery_id ORDER BY f.count DESC, f.id) <= $7
    THEN f.network ELSE 'other' END AS network
  FROM fresh f LEFT JOIN held USING (gallery_id)
)
INSERT INTO access_log AS l (id, gallery_id, hour, kind, network, count)
SELECT (array_agg(id ORDER BY id))[1], gallery_id, $6, kind, network, sum(count)
FROM placed GROUP BY gallery_id, kind, network ORDER BY gallery_id, kind, network
ON CONFLICT (gallery_id, hour, kind, network) DO UPDATE SET count = l.count + excluded.count
"""
_PAGE = """
SELECT id, hour, kind, network, count FROM access_log
WHERE gallery_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
"""
_SWEEP = """
DELETE FROM access_log WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM access_log WHERE hour < $1 ORDER BY hour LIMIT $2))
"""
_AFTER_ALL = UUID(int=(1 << 128) - 1)


class LogLine(NamedTuple):
    """Accesses of one kind from one network since the last flush."""

    id: UUID
    gallery_id: UUID
    kind: str
    network: str
    accesses: int


class LoggedAccesses(NamedTuple):
    """A line of the log: accesses of one kind from one network in the hour that began then."""

    id: UUID
    hour: datetime
    kind: str
    network: str
    accesses: int


class AccessQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, flush_id: UUID, *, events: Sequence[OutboxRow], lines: Sequence[LogLine], hour: datetime
    ) -> None:
        """Queue events and add to the log, once for each flush id. Deleted galleries get no line.

        No row of a gallery is locked for its events: their order does not matter.
        """
        async with self._database.hot.acquire() as connection, connection.transaction():
            if await connection.fetchval(_RECORD, FLUSHES, flush_id) is None:
                return
            await connection.execute(_PUBLISH, *_columns(events))
            await _add_to_log(connection, lines, hour=hour)

    async def page(
        self, gallery_id: GalleryId, *, before: UUID | None, limit: int
    ) -> Sequence[LoggedAccesses]:
        """Up to `limit` lines of a gallery, the newest first. before: the last id of the page before."""
        records = await self._database.hot.fetch(_PAGE, gallery_id, before or _AFTER_ALL, limit)
        return [LoggedAccesses._make(record) for record in records]

    async def sweep(self, before: datetime, *, limit: int) -> int:
        """Remove up to `limit` lines of hours before the instant; returns how many."""
        status: str = await self._database.hot.execute(_SWEEP, before, limit)
        return int(status.rpartition(" ")[2])


async def _add_to_log(connection: Any, lines: Sequence[LogLine], *, hour: datetime) -> None:
    galleries = sorted({line.gallery_id for line in lines})
    await connection.fetch(_HOLD, galleries)
    # A statement of its own: it sees what was committed while the one above waited.
    gone = {record[0] for record in await connection.fetch(_GONE, galleries)}
    kept = [line for line in lines if line.gallery_id not in gone]
    if kept:
        await connection.execute(_LOG, *_columns(kept), hour, MAX_LINES_PER_HOUR)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
