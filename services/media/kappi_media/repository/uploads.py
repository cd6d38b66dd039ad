"""Reserves, finds, rejects and aborts uploads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database, driver_of
from kappi_chassis.observability.context import traceparent
from kappi_chassis.outbox import OutboxRow
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.contributions import ContributionLimitReached, Contributor
from kappi_media.domain.media import (
    AccountId,
    AddressId,
    DeclaredUpload,
    GalleryId,
    ReservationBudget,
    ReservationBudgets,
    Upload,
    UploadId,
)
from kappi_media.domain.shares import address_party
from kappi_media.domain.sidecars import SIDECAR_TYPE
from kappi_media.repository.contributions import Contribution, NotTaken, hold_room
from kappi_media.repository.upload_rows import sidecar_rows, upload_rows

_COLUMNS = """
id, media_id, gallery_id, filename, content_type, size_bytes, sha256, state, rejection_reason,
expires_at, created_at, part_size_bytes, multipart_id, traceparent, 'original' AS role
"""


def _same_files(*, digests: str) -> str:
    """Returns the query of the first item of the gallery $1 for each digest. digests: the parameter with the
    digests.
    """
    return f"""SELECT DISTINCT ON (sha256) sha256, id FROM items
WHERE gallery_id = $1 AND sha256 = ANY({digests}) AND status <> 'rejected' ORDER BY sha256, id"""  # noqa: S608 - a parameter's name


# `made` is for a gallery's first upload, `home` for all others. The share lock lets batches run side by side,
# and makes the deletion of the gallery wait for them: it must see every row it has to remove. An owner's
# batches wait for each other at the account's row, so the quota is exact; batches for anonymous galleries
# wait at the rows of their budgets.
_PROMISE = f"""
WITH made AS (
  INSERT INTO contents (gallery_id, owner_id) VALUES ($1, $5) ON CONFLICT DO NOTHING RETURNING gallery_id),
home AS MATERIALIZED (
  SELECT gallery_id FROM contents
  WHERE gallery_id = $1 AND deleted_at IS NULL AND owner_id IS NOT DISTINCT FROM $5
    AND (claim_until IS NULL OR claim_until <= $3) FOR SHARE),
open AS MATERIALIZED (
  SELECT gallery_id FROM (SELECT gallery_id FROM made UNION ALL SELECT gallery_id FROM home) AS found
  WHERE CASE WHEN $8::uuid IS NULL THEN true
    ELSE take_promise_budget($8, $1, $9, $6, $10, $11, $12, $13) END),
charged AS (
  UPDATE accounts a SET reserved_bytes = a.reserved_bytes + $6 FROM open
  WHERE a.id = $5 AND a.deleted_at IS NULL
    AND ($7::bigint IS NULL OR a.reserved_bytes + a.used_bytes + $6 <= $7)
  RETURNING a.id),
promised AS (
  INSERT INTO uploads (
    id, media_id, gallery_id, filename, content_type, size_bytes, sha256, description, expires_at, created_at,
    part_size_bytes, posted, address_id, uploader_address, contributor_id, contributor_name, traceparent,
    sidecar_bytes)
  SELECT f.id, f.media_id, open.gallery_id, f.filename, f.content_type, f.size_bytes, decode(f.sha256, 'hex'),
         f.description, coalesce(f.expires_at, $2), $3, f.part_size_bytes, coalesce(f.posted, false), $8, $14,
         f.contributor_id, f.contributor_name, $16, coalesce(f.sidecar_bytes, 0)
  FROM open, json_to_recordset($4::text::json) AS f (
    id uuid, media_id uuid, filename text, content_type text, size_bytes bigint, sha256 text,
    description jsonb, expires_at timestamptz, part_size_bytes bigint, posted boolean,
    contributor_id uuid, contributor_name text, sidecar_bytes bigint)
  WHERE $5::uuid IS NULL OR EXISTS (SELECT 1 FROM charged)
  RETURNING id),
with_sidecars AS (
  INSERT INTO sidecars (id, media_id, filename, size_bytes, sha256, expires_at)
  SELECT s.id, s.media_id, s.filename, s.size_bytes, decode(s.sha256, 'hex'), s.expires_at
  FROM json_to_recordset($17::text::json) AS s (
    id uuid, media_id uuid, filename text, size_bytes bigint, sha256 text, expires_at timestamptz)
  WHERE EXISTS (SELECT 1 FROM promised))
SELECT (SELECT count(*) FROM promised), array_agg(same.sha256), array_agg(same.id)
FROM ({_same_files(digests="$15")}) AS same
"""  # noqa: S608 - a statement from above
_WHY_NOT = """
SELECT c.deleted_at IS NOT NULL OR a.deleted_at IS NOT NULL AS deleted, c.gallery_id IS NOT NULL AS known,
       c.owner_id, coalesce(c.claim_until > $4, false) AS being_claimed,
       a.id AS account_id, a.reserved_bytes + a.used_bytes AS charged_bytes,
       coalesce(p.files, 0) AS address_files, coalesce(p.bytes, 0) AS address_bytes,
       coalesce(g.files, 0) AS gallery_files, coalesce(g.bytes, 0) AS gallery_bytes
FROM (SELECT) AS one_row
LEFT JOIN contents c ON c.gallery_id = $1
LEFT JOIN accounts a ON a.id = $2
LEFT JOIN promise_budgets p ON p.holder = $3
LEFT JOIN promise_budgets g ON g.holder = $1
"""
_SAME_FILES = _same_files(digests="$2")
_OWN_SAME_FILES = """
SELECT DISTINCT ON (sha256) sha256, id FROM items
WHERE gallery_id = $1 AND sha256 = ANY($2) AND contributor_id = $3 AND status <> 'rejected'
ORDER BY sha256, id
"""
_FIND = f"SELECT {_COLUMNS} FROM uploads WHERE id = $1 AND gallery_id = $2"  # noqa: S608 - column names
_FIND_ALL = f"SELECT {_COLUMNS} FROM uploads WHERE id = ANY($1) AND gallery_id = $2"  # noqa: S608 - as above
# It may be sent as long as its picture's upload has not failed, and its picture is where it was uploaded to.
_SIDECARS = f"""
SELECT s.id, s.media_id, u.gallery_id, s.filename, '{SIDECAR_TYPE}' AS content_type, s.size_bytes, s.sha256,
  CASE WHEN s.state = 'pending' AND (u.state IN ('rejected', 'aborted') OR i.folder IS NOT NULL)
    THEN 'aborted' ELSE s.state END AS state,
  s.rejection_reason, s.expires_at, u.created_at, NULL::bigint AS part_size_bytes, NULL AS multipart_id,
  u.traceparent, 'sidecar' AS role
FROM sidecars s JOIN uploads u ON u.media_id = s.media_id LEFT JOIN items i ON i.id = s.media_id
WHERE s.id = ANY($1) AND u.gallery_id = $2
"""  # noqa: S608 - a constant
_END = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $2 FOR SHARE),
ended AS (
  UPDATE uploads u SET state = $3, rejection_reason = $4 FROM home
  WHERE u.id = $1 AND u.gallery_id = home.gallery_id AND u.state = 'pending'
  RETURNING u.charged_bytes AS size_bytes, home.owner_id, u.gallery_id, u.address_id),
released AS (
  INSERT INTO accounts AS a (id) SELECT owner_id FROM ended WHERE owner_id IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET reserved_bytes = a.reserved_bytes - (SELECT size_bytes FROM ended)),
still_counted AS (
  INSERT INTO ended_promises (address_id, gallery_id, files, bytes, ended_at)
  SELECT address_id, gallery_id, 1, size_bytes, $11 FROM ended WHERE address_id IS NOT NULL)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $5, $6, $7, $8, $9, $10, 1 FROM ended
RETURNING sequence
"""
_ATTEMPTS = 3


class Refusal(Enum):
    """The reason why nothing was reserved.

    OTHER_OWNER: the caller's grant names an owner that the gallery no longer has. OWNER_UNKNOWN: the
    gallery's owner is not recorded here yet: `adopt` it, then try again.
    """

    GALLERY_DELETED = "gallery_deleted"
    BEING_CLAIMED = "being_claimed"
    OTHER_OWNER = "other_owner"
    OWNER_UNKNOWN = "owner_unknown"
    OVER_QUOTA = "over_quota"


SameFiles = dict[bytes, UUID]
"""The first item of a gallery for each of the requested SHA-256 that it has."""


class BudgetSpent(NamedTuple):
    """The budget that a batch exceeds. open: what counts against it now."""

    whose: Literal["address", "gallery"]
    open: ReservationBudget
    limit: ReservationBudget


Reserved = SameFiles | Refusal | BudgetSpent | NotTaken | ContributionLimitReached
"""The answer to a reservation: the files that the gallery has already, or the reason of a refusal."""


class FilesToReserve(NamedTuple):
    """A batch of one gallery. owner_id: the account to charge. quota_bytes: of the owner; None for no limit.

    address_id: of the client. budgets: of an anonymous gallery; None for one of an account, whose quota
    counts reservations. posted: sent through the API, so that only the request itself may complete it before
    it is settled; the store's notification may arrive earlier. contribution: of the contributor that adds
    them; None for the gallery's manager.
    """

    declared: Sequence[DeclaredUpload]
    owner_id: AccountId | None
    quota_bytes: int | None
    address_id: AddressId
    budgets: ReservationBudgets | None = None
    posted: bool = False
    contribution: Contribution | None = None

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.declared)


class UploadQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, batch: FilesToReserve) -> Reserved:
        """Reserve a batch, and charge its owner or the budgets, in one statement; all of it or nothing. A
        batch of a contributor takes a transaction.

        Returns the declared files that the gallery has already.
        """
        if batch.contribution is None:
            return await _reserve(self._database.hot, batch)
        async with self._database.transaction() as connection:
            return await reserve_within(connection, batch)

    async def same_files(
        self, gallery_id: GalleryId, digests: Collection[bytes], *, by: Contributor | None = None
    ) -> SameFiles:
        """Returns the files that the gallery has already. by: the contributor that asks."""
        return await _same_files_for(self._database.hot, gallery_id, list(digests), by=by)

    async def find(self, upload_id: UploadId, gallery_id: GalleryId) -> Upload | None:
        record = await self._database.hot.fetchrow(_FIND, upload_id, gallery_id)
        if record is None:
            record = await self._database.hot.fetchrow(_SIDECARS, [upload_id], gallery_id)
        return Upload._make(record) if record is not None else None

    async def find_all(self, upload_ids: Sequence[UploadId], gallery_id: GalleryId) -> list[Upload]:
        """Returns the uploads in the order of the ids; missing ones are left out."""
        records = await self._database.hot.fetch(_FIND_ALL, upload_ids, gallery_id)
        if len(records) < len(upload_ids):
            records += await self._database.hot.fetch(_SIDECARS, upload_ids, gallery_id)
        found = {record["id"]: Upload._make(record) for record in records}
        return [found[each] for each in upload_ids if each in found]

    async def reject(self, upload: Upload, *, reason: str, event: OutboxRow, now: datetime) -> bool:
        """Reject a pending upload and publish it. Returns False when it is no longer pending."""
        return await self._end(upload, "rejected", reason=reason, event=event, now=now)

    async def abort(self, upload: Upload, *, event: OutboxRow, now: datetime) -> bool:
        """Abort a pending upload and publish it. Returns False when it is no longer pending."""
        return await self._end(upload, "aborted", reason=None, event=event, now=now)

    async def _end(
        self, upload: Upload, state: str, *, reason: str | None, event: OutboxRow, now: datetime
    ) -> bool:
        sequence = await self._database.hot.fetchval(
            _END, upload.id, upload.gallery_id, state, reason, *event, now
        )
        return sequence is not None


def digests_of(uploads: Iterable[Upload]) -> list[bytes]:
    """Returns the declared SHA-256."""
    return [upload.sha256 for upload in uploads if upload.sha256 is not None]


async def reserve_within(connection: AsyncConnection, batch: FilesToReserve) -> Reserved:
    """As `UploadQueries.reserve`, within a transaction that has already begun."""
    driver, contribution = await driver_of(connection), batch.contribution
    if contribution is None:
        return await _reserve(driver, batch)
    gallery_id, adds = (
        batch.declared[0].upload.gallery_id,
        ReservationBudget(len(batch.declared), batch.size_bytes),
    )
    refused = await hold_room(
        connection,
        contribution,
        gallery_id=gallery_id,
        owner_id=batch.owner_id,
        quota_bytes=batch.quota_bytes,
        address_id=batch.address_id,
        adds=adds,
    )
    reserved = refused or await _reserve(driver, batch)
    if contribution.by.sees_own_only and isinstance(reserved, dict):
        digests = digests_of(one.upload for one in batch.declared)
        return await _same_files_for(driver, gallery_id, digests, by=contribution.by)
    return reserved


async def _same_files_for(
    asyncpg: Any, gallery_id: GalleryId, digests: list[bytes], *, by: Contributor | None
) -> SameFiles:
    if by is not None and by.sees_own_only:
        return dict(await asyncpg.fetch(_OWN_SAME_FILES, gallery_id, digests, by.id))
    return dict(await asyncpg.fetch(_SAME_FILES, gallery_id, digests))


async def _reserve(asyncpg: Any, batch: FilesToReserve) -> SameFiles | Refusal | BudgetSpent:
    first = batch.declared[0].upload
    size_bytes = batch.size_bytes
    counted, limits = None, (0, 0, 0, 0)
    if batch.budgets is not None:
        counted, (of_address, of_gallery) = batch.address_id, batch.budgets
        limits = (*of_address, *of_gallery)
    by = None if batch.contribution is None else batch.contribution.by
    rows = upload_rows(batch.declared, usual_expiry=first.expires_at, posted=batch.posted, by=by)
    sidecars = sidecar_rows(batch.declared)
    digests = digests_of(one.upload for one in batch.declared)
    for _ in range(_ATTEMPTS):
        promised, same_digests, same_ids = await asyncpg.fetchrow(
            _PROMISE,
            first.gallery_id,
            first.expires_at,
            first.created_at,
            rows,
            batch.owner_id,
            size_bytes,
            batch.quota_bytes,
            counted,
            len(batch.declared),
            *limits,
            address_party(batch.address_id),
            digests,
            traceparent.get(),
            sidecars,
        )
        if promised:
            return dict(zip(same_digests or (), same_ids or (), strict=True))
        row = await asyncpg.fetchrow(_WHY_NOT, first.gallery_id, batch.owner_id, counted, first.created_at)
        why_not = _refusal(batch, size_bytes, row)
        if why_not is not None:
            return why_not
        # Nothing is open: another transaction inserted the row, or released some room, after the statement's
        # snapshot.
    if batch.budgets is not None:
        return BudgetSpent("address", _open(row, "address"), batch.budgets.address)
    return Refusal.GALLERY_DELETED if batch.owner_id is None else Refusal.OVER_QUOTA


def _refusal(batch: FilesToReserve, size_bytes: int, row: Any) -> Refusal | BudgetSpent | None:
    """Returns the reason of a refusal; None when the rows show none now."""
    if row["deleted"]:
        return Refusal.GALLERY_DELETED
    nobodys = row["known"] and row["owner_id"] is None
    if batch.owner_id is not None and (row["account_id"] is None or nobodys):
        return Refusal.OWNER_UNKNOWN
    if row["known"] and row["owner_id"] != batch.owner_id:
        return Refusal.OTHER_OWNER
    if row["being_claimed"]:
        return Refusal.BEING_CLAIMED
    if batch.quota_bytes is not None and row["account_id"] is not None:
        over = row["charged_bytes"] + size_bytes > batch.quota_bytes
        return Refusal.OVER_QUOTA if over else None
    return None if batch.budgets is None else _spent(batch, batch.budgets, row)


def _spent(batch: FilesToReserve, budgets: ReservationBudgets, row: Any) -> BudgetSpent | None:
    files, size_bytes = len(batch.declared), batch.size_bytes
    for spent in (
        BudgetSpent("gallery", _open(row, "gallery"), budgets.gallery),
        BudgetSpent("address", _open(row, "address"), budgets.address),
    ):
        if spent.open.files + files > spent.limit.files or spent.open.bytes + size_bytes > spent.limit.bytes:
            return spent
    return None


def _open(row: Any, whose: str) -> ReservationBudget:
    return ReservationBudget(row[f"{whose}_files"], row[f"{whose}_bytes"])
