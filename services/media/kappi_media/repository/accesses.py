"""Queues counted accesses for the galleries service, and keeps the access log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow

from kappi_media.domain.media import GalleryId

FLUSHES: Final = "access-flush"
"""The consumer name under which completed flushes are recorded in the inbox."""
MAX_LINES_PER_HOUR: Final = 200
"""The largest number of lines of one gallery and hour. Further networks are added to one line `other` per
kind.
"""

_RECORD = "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
_PUBLISH = """
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT e.*, f.sequence
FROM (SELECT nextval('access_flushes') AS sequence) f,
     unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[]) AS e
"""
# A gallery that is being changed or deleted is left for the next flush: waiting for it would hold the rows of
# all other galleries, and block their uploads.
_HOLD = """
SELECT gallery_id FROM contents
WHERE gallery_id = ANY($1) AND deleted_at IS NULL ORDER BY gallery_id FOR SHARE SKIP LOCKED
"""
_KNOWN = "SELECT gallery_id, deleted_at IS NOT NULL FROM contents WHERE gallery_id = ANY($1)"
_LOG = """
WITH fresh AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
    AS f (id, gallery_id, kind, network, count)
), held AS (
  SELECT l.gallery_id, count(*) AS lines FROM access_log l
  WHERE l.gallery_id = ANY($2) AND l.hour = $6 AND l.network <> 'other' GROUP BY l.gallery_id
), marked AS (
  SELECT f.*, coalesce(held.lines, 0) AS lines, f.network <> 'other' AND NOT EXISTS (
    SELECT FROM access_log l WHERE l.gallery_id = f.gallery_id AND l.hour = $6
      AND l.kind = f.kind AND l.network = f.network) AS is_new
  FROM fresh f LEFT JOIN held USING (gallery_id)
), placed AS (
  SELECT id, gallery_id, kind, count, CASE
    WHEN is_new
      AND lines + row_number() OVER (PARTITION BY gallery_id, is_new ORDER BY count DESC, id) > $7
    THEN 'other' ELSE network END AS network
  FROM marked
)
INSERT INTO access_log AS l (id, gallery_id, hour, kind, network, count)
SELECT (array_agg(id ORDER BY id))[1], gallery_id, $6, kind, network, sum(count)
FROM placed GROUP BY gallery_id, kind, network ORDER BY gallery_id, kind, network
ON CONFLICT (gallery_id, hour, kind, network) DO UPDATE SET count = l.count + excluded.count
"""
_PAGE = """
SELECT id, hour, kind, network, count FROM access_log
WHERE gallery_id = $1 AND (hour, id) < ($2, $3) ORDER BY hour DESC, id DESC LIMIT $4
"""
_SWEEP = """
DELETE FROM access_log WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM access_log WHERE hour < $1 ORDER BY hour LIMIT $2))
"""


class LogPosition(NamedTuple):
    """The position of a line in its gallery's log."""

    hour: datetime
    id: UUID


_AFTER_ALL: Final = LogPosition(datetime.max.replace(tzinfo=UTC), UUID(int=(1 << 128) - 1))


class LogLine(NamedTuple):
    """The accesses of one kind from one network since the last flush. id: random; it orders the lines of an
    hour.
    """

    id: UUID
    gallery_id: UUID
    kind: str
    network: str
    accesses: int


class LoggedAccesses(NamedTuple):
    """A line of the log: the accesses of one kind from one network in the hour that begins at `hour`."""

    id: UUID
    hour: datetime
    kind: str
    network: str
    accesses: int

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.hour, self.id)


class AccessQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self,
        flush_id: UUID,
        *,
        events: Sequence[OutboxRow],
        lines: Sequence[LogLine],
        hour: datetime,
        leave: Callable[[frozenset[UUID]], None],
    ) -> None:
        """Queue events and add to the log, once for each flush id. Deleted galleries get no line.

        leave: called before the commit with the galleries that are locked and got no line, although their
        events are queued; not called if the flush was written before. No row of a gallery is locked for its
        events: their order does not matter.
        """
        async with self._database.hot.acquire() as connection, connection.transaction():
            if await connection.fetchval(_RECORD, FLUSHES, flush_id) is None:
                return
            if events:
                await connection.execute(_PUBLISH, *_columns(events))
            leave(await _add_to_log(connection, lines, hour=hour))

    async def page(
        self, gallery_id: GalleryId, *, before: LogPosition | None, limit: int
    ) -> Sequence[LoggedAccesses]:
        """Returns up to `limit` lines of a gallery, the newest first. before: the last line of the page
        before.
        """
        records = await self._database.hot.fetch(_PAGE, gallery_id, *(before or _AFTER_ALL), limit)
        return [LoggedAccesses._make(record) for record in records]

    async def sweep(self, before: datetime, *, limit: int) -> int:
        """Remove up to `limit` lines of hours before the instant. Returns the number removed."""
        status: str = await self._database.hot.execute(_SWEEP, before, limit)
        return int(status.rpartition(" ")[2])


async def _add_to_log(connection: Any, lines: Sequence[LogLine], *, hour: datetime) -> frozenset[UUID]:
    """Add lines to the log. Returns the locked galleries, whose lines were not added."""
    galleries = sorted({line.gallery_id for line in lines})
    held = {record[0] for record in await connection.fetch(_HOLD, galleries)}
    # A separate statement, so that it sees a deletion that committed meanwhile.
    known: dict[UUID, bool] = dict(await connection.fetch(_KNOWN, galleries))
    busy = frozenset(each for each, is_gone in known.items() if not is_gone and each not in held)
    kept = [line for line in lines if line.gallery_id not in busy and not known.get(line.gallery_id)]
    if kept:
        await connection.execute(_LOG, *_columns(kept), hour, MAX_LINES_PER_HOUR)
    return busy


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
