"""The queue of completed uploads for the worker, and its order (ADR-0033)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import UploadCompleted

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.domain.shares import Party, Share

# Older uploads have no address; then the gallery or the account has a key of its own.
_ADD = """
WITH new AS (
  SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[])
    AS n (media_id, gallery_id, object_key, content_type, size_bytes, completed_at, traceparent)),
item AS (
  SELECT n.*, coalesce(c.owner_id, c.gallery_id) AS tenant, c.owner_id IS NULL AS anonymous
  FROM new n
  JOIN items i ON i.id = n.media_id AND i.gallery_id = n.gallery_id AND i.status = 'processing'
  JOIN contents c ON c.gallery_id = i.gallery_id),
uploader AS (
  UPDATE uploads u SET uploader_address = NULL
  WHERE u.media_id = ANY($1) AND u.uploader_address IS NOT NULL
  RETURNING u.media_id, old.uploader_address AS address),
added AS (
  INSERT INTO upload_jobs (
    media_id, gallery_id, object_key, content_type, size_bytes, completed_at, traceparent, tenant, anonymous,
    address)
  SELECT media_id, gallery_id, object_key, content_type, size_bytes, completed_at, traceparent, tenant,
    anonymous, coalesce(u.address, hashtextextended(tenant::text, 0))
  FROM item LEFT JOIN uploader u USING (media_id)
  ORDER BY media_id ON CONFLICT DO NOTHING)
SELECT media_id FROM new WHERE NOT EXISTS (SELECT FROM items i WHERE i.id = new.media_id)
"""
# The first job of each tenant and of each address comes before the second of any, counting those under way.
# Of equal ones, the tenant with the least decoder time comes first; a tenant above its budget comes last. For
# each address and tenant no more rows are read than could be chosen, however many wait. This is written as a
# range, because for equality the planner may take the primary key's order and read through all rows.
_TAKE = """
WITH RECURSIVE pair AS (
  (SELECT address, tenant FROM upload_jobs ORDER BY address, tenant LIMIT 1)
  UNION ALL
  SELECT following.address, following.tenant FROM pair CROSS JOIN LATERAL (
    SELECT u.address, u.tenant FROM upload_jobs u WHERE (u.address, u.tenant) > (pair.address, pair.tenant)
    ORDER BY u.address, u.tenant LIMIT 1) AS following),
busy AS MATERIALIZED (SELECT tenant, address FROM upload_jobs WHERE leased_until > $1),
waiting AS (
  SELECT j.media_id, j.tenant, j.address, j.anonymous,
    (SELECT count(*) FROM busy WHERE busy.tenant = j.tenant)
      + row_number() OVER (PARTITION BY j.tenant ORDER BY j.media_id) AS of_tenant
  FROM pair CROSS JOIN LATERAL (
    SELECT u.media_id, u.tenant, u.address, u.anonymous FROM upload_jobs u
    WHERE (u.address, u.tenant) >= (pair.address, pair.tenant)
      AND (u.address, u.tenant) <= (pair.address, pair.tenant)
      AND (u.due_at IS NULL OR u.due_at <= $1) AND (u.leased_until IS NULL OR u.leased_until <= $1)
    ORDER BY u.address, u.tenant, u.media_id LIMIT $3) AS j),
turns AS (
  SELECT w.media_id, w.anonymous,
    greatest(w.of_tenant, (SELECT count(*) FROM busy WHERE busy.address = w.address)
      + row_number() OVER (PARTITION BY w.address ORDER BY w.of_tenant, w.media_id)) AS nth,
    greatest(coalesce(t.seconds, 0), coalesce(a.seconds, 0)) AS spent
  FROM waiting w
  LEFT JOIN unnest($6::uuid[], $7::float8[]) AS t (tenant, seconds) ON t.tenant = w.tenant
  LEFT JOIN unnest($8::bigint[], $9::float8[]) AS a (address, seconds) ON a.address = w.address),
kinds AS (
  SELECT media_id, nth, spent, anonymous AND spent > $10 AS late FROM turns),
numbered AS (
  SELECT kinds.*,
    row_number() OVER (PARTITION BY late ORDER BY nth, spent, media_id) AS place,
    count(*) FILTER (WHERE nth > 1) OVER (PARTITION BY late ORDER BY nth, spent, media_id) AS further
  FROM kinds),
chosen AS (
  SELECT media_id, late FROM numbered
  WHERE CASE WHEN late THEN place <= $5 ELSE nth = 1 OR further <= $4 END
  ORDER BY late, nth, spent, media_id LIMIT $3),
free AS (
  SELECT u.media_id FROM upload_jobs u
  WHERE u.media_id IN (SELECT media_id FROM chosen) AND (u.leased_until IS NULL OR u.leased_until <= $1)
  ORDER BY u.media_id FOR UPDATE SKIP LOCKED)
UPDATE upload_jobs u SET leased_until = $2, attempts = u.attempts + 1
FROM free JOIN chosen ON chosen.media_id = free.media_id WHERE u.media_id = free.media_id
RETURNING u.media_id, u.gallery_id, u.object_key, u.content_type, u.size_bytes, u.completed_at, u.traceparent,
  u.tenant, u.anonymous, u.address, u.attempts, u.failures, chosen.late
"""
_RENEW = "UPDATE upload_jobs SET leased_until = $2 WHERE media_id = $1 RETURNING true"
_POSTPONE = """
UPDATE upload_jobs SET leased_until = NULL, due_at = $2, attempts = attempts + $3, failures = failures + $4
WHERE media_id = $1
"""
_OLDEST = "SELECT completed_at FROM upload_jobs ORDER BY media_id LIMIT 1"


class LeasedUpload(NamedTuple):
    """A completed upload that this process works on. attempts: this one included. late: above its budget."""

    media_id: MediaId
    gallery_id: GalleryId
    object_key: str
    content_type: str
    size_bytes: int
    completed_at: datetime
    traceparent: str | None
    tenant: UUID
    anonymous: bool
    address: int
    attempts: int
    failures: int
    late: bool

    @property
    def share(self) -> Share:
        return Share(self.tenant, self.address, self.anonymous)


class Room(NamedTuple):
    """The number of uploads that may be leased: in all, of tenants with one under way already, and above
    budget.
    """

    places: int
    further: int
    late: int


class UploadJobQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self,
        room: Room,
        *,
        now: datetime,
        until: datetime,
        spent: Mapping[Party, float],
        budget_s: float,
    ) -> list[LeasedUpload]:
        """Lease the jobs that are next. spent: seconds of decoder time by tenant and address. budget_s: of an
        anonymous tenant.
        """
        tenants = {party: seconds for party, seconds in spent.items() if isinstance(party, UUID)}
        addresses = {party: seconds for party, seconds in spent.items() if isinstance(party, int)}
        records = await self._database.hot.fetch(
            _TAKE,
            now,
            until,
            *room,
            list(tenants),
            list(tenants.values()),
            list(addresses),
            list(addresses.values()),
            budget_s,
        )
        return [LeasedUpload(*record) for record in records]

    async def renew(self, media_id: MediaId, *, until: datetime) -> bool:
        """Extend a lease until an instant. Returns False when the job is done."""
        return bool(await self._database.hot.fetchval(_RENEW, media_id, until))

    async def postpone(
        self, media_id: MediaId, *, due_at: datetime, attempts: int = 0, failures: int = 1
    ) -> None:
        """Release a job until an instant. attempts, failures: to be counted in addition."""
        await self._database.hot.execute(_POSTPONE, media_id, due_at, attempts, failures)

    async def oldest(self) -> datetime | None:
        """Returns when the job with the oldest item was completed."""
        found: datetime | None = await self._database.hot.fetchval(_OLDEST)
        return found


async def add_jobs(driver: Any, events: Sequence[Envelope[UploadCompleted]]) -> Collection[UUID]:
    """Add a job for each item in processing. Other items, and items that have a job, get none.

    Returns those of the items that do not exist. driver: an asyncpg connection in a transaction.
    """
    rows = (
        (
            each.data.media_id,
            each.data.gallery_id,
            each.data.object_key,
            each.data.content_type,
            each.data.size_bytes,
            each.data.completed_at,
            each.traceparent,
        )
        for each in events
    )
    gone = await driver.fetch(_ADD, *map(list, zip(*rows, strict=True)))
    return {row["media_id"] for row in gone}
