"""What contributors added to galleries: the limits, and the end of a contributor.

There are no counters: the limits are small enough that the rows themselves are summed up, under the lock of
the gallery's row in `contents`. So no way in which an upload or an item ends can leave a wrong count.
Rejected items stay, so they count as files: nothing else would bound their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID

from kappi_chassis.db import Database, driver_of
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.contributions import (
    ContributionLimitReached,
    ContributionLimits,
    Contributor,
    ContributorId,
    LimitHolder,
)
from kappi_media.domain.media import AccountId, AddressId, GalleryId, MediaId, ReservationBudget, UploadId
from kappi_media.domain.shares import address_party
from kappi_media.models.gallery import contents, removed_contributors
from kappi_media.repository.bulk import HeldItem

_MAKE_HOME = "INSERT INTO contents (gallery_id, owner_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_HOLD_HOME = "SELECT contributions_closed, face_version FROM contents WHERE gallery_id = $1 FOR UPDATE"
# An address may add to several galleries at once.
_HOLD_ADDRESS = "SELECT pg_advisory_xact_lock($1)"
_HELD = """
SELECT EXISTS (SELECT FROM removed_contributors WHERE contributor_id = $2) AS removed,
  count(*) FILTER (WHERE contributor_id = $2) AS contributor_files,
  coalesce(sum(size_bytes) FILTER (WHERE contributor_id = $2), 0)::bigint AS contributor_bytes,
  count(held.size_bytes) AS gallery_files, coalesce(sum(size_bytes), 0)::bigint AS gallery_bytes,
  count(*) FILTER (WHERE pending) AS pending_gallery_files,
  coalesce(sum(size_bytes) FILTER (WHERE pending), 0)::bigint AS pending_gallery_bytes,
  min(of_address.files) AS pending_address_files, min(of_address.bytes) AS pending_address_bytes
FROM (
  SELECT count(*) AS files, coalesce(sum(charged_bytes), 0)::bigint AS bytes FROM uploads
  WHERE uploader_address = $3 AND contributor_id IS NOT NULL AND state = 'pending') AS of_address
LEFT JOIN (
  SELECT contributor_id, charged_bytes AS size_bytes, true AS pending FROM uploads
  WHERE gallery_id = $1 AND contributor_id IS NOT NULL AND state = 'pending'
  UNION ALL
  SELECT contributor_id, CASE status WHEN 'rejected' THEN 0 ELSE charged_bytes END, false FROM items
  WHERE gallery_id = $1 AND contributor_id IS NOT NULL) AS held ON true
"""
# The bytes of what is ended may still arrive while URLs are valid, so it still counts against the budgets of
# anonymous galleries.
_END = """
WITH home AS MATERIALIZED (
  SELECT gallery_id, owner_id FROM contents WHERE gallery_id = $1 AND {condition} FOR SHARE),
ended AS (
  UPDATE uploads u SET state = 'aborted' FROM home
  WHERE u.gallery_id = home.gallery_id AND u.state = 'pending' AND u.contributor_id IS NOT NULL
    AND ($2::uuid IS NULL OR u.contributor_id = $2)
  RETURNING u.media_id, u.charged_bytes AS size_bytes, u.address_id, home.owner_id),
released AS (
  INSERT INTO accounts AS a (id) SELECT DISTINCT owner_id FROM ended WHERE owner_id IS NOT NULL
  ON CONFLICT (id) DO UPDATE SET
    reserved_bytes = a.reserved_bytes - (SELECT sum(size_bytes) FROM ended)),
still_counted AS (
  INSERT INTO ended_promises (address_id, gallery_id, files, bytes, ended_at)
  SELECT address_id, $1, count(*), sum(size_bytes), $3 FROM ended
  WHERE address_id IS NOT NULL GROUP BY address_id)
SELECT media_id FROM ended
"""
_END_OF_CLOSED = _END.format(condition="contributions_closed")
_END_OF_CONTRIBUTOR = _END.format(condition="deleted_at IS NULL")
_ITEMS_OF = """
SELECT id, gallery_id, status, jsonb_array_length(tags), size_bytes FROM items
WHERE gallery_id = $1 AND contributor_id = $2 ORDER BY id LIMIT $3 FOR UPDATE
"""
_UPLOAD_OF = """
SELECT true FROM uploads
WHERE (id = $1 OR media_id = (SELECT media_id FROM sidecars WHERE id = $1))
  AND gallery_id = $2 AND contributor_id = $3
"""
_ITEM_OF = "SELECT true FROM items WHERE id = $1 AND gallery_id = $2 AND contributor_id = $3"


class ContributionQueries:
    """Runs single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def has_upload(self, by: ContributorId, upload_id: UploadId, gallery_id: GalleryId) -> bool:
        """Returns whether the upload is one of this contributor to this gallery."""
        return bool(await self._database.hot.fetchval(_UPLOAD_OF, upload_id, gallery_id, by))

    async def has_item(self, by: ContributorId, media_id: MediaId, gallery_id: GalleryId) -> bool:
        """Returns whether the item is one of this gallery that this contributor added."""
        return bool(await self._database.hot.fetchval(_ITEM_OF, media_id, gallery_id, by))


class Contribution(NamedTuple):
    """Files that a contributor adds, and the limits on them."""

    by: Contributor
    limits: ContributionLimits


def contribution_of(by: Contributor | None, limits: ContributionLimits) -> Contribution | None:
    """Returns the contribution of a contributor; None where the gallery's manager adds something."""
    return None if by is None else Contribution(by, limits)


class NotTaken(Enum):
    """The reason why a contributor may not add anything."""

    CLOSED = "closed"
    REMOVED = "removed"


async def hold_room(
    connection: AsyncConnection,
    contribution: Contribution,
    *,
    gallery_id: GalleryId,
    owner_id: AccountId | None,
    quota_bytes: int | None,
    address_id: AddressId,
    adds: ReservationBudget,
) -> NotTaken | ContributionLimitReached | None:
    """Returns None if the files may be added. Until the end of the transaction no other transaction adds
    contributions to the gallery, or from the address.

    The gallery and the contributor may have changed since the grant was given.
    """
    address = address_party(address_id)
    driver = await driver_of(connection)
    await driver.execute(_MAKE_HOME, gallery_id, owner_id)
    home = await driver.fetchrow(_HOLD_HOME, gallery_id)
    await driver.execute(_HOLD_ADDRESS, address)
    held = await driver.fetchrow(_HELD, gallery_id, contribution.by.id, address)  # after the locks
    if home["contributions_closed"] and home["face_version"] >= contribution.by.gallery_version:
        return NotTaken.CLOSED
    if held["removed"]:
        return NotTaken.REMOVED
    limits = contribution.limits
    of_holders: dict[LimitHolder, ReservationBudget] = {
        "contributor": limits.contributor,
        "gallery": limits.gallery,
        "pending_address": limits.pending.address,
        "pending_gallery": limits.pending_of_gallery(quota_bytes),
    }
    for whose, limit in of_holders.items():
        there = ReservationBudget(held[f"{whose}_files"], held[f"{whose}_bytes"])
        if there.files + adds.files > limit.files or there.bytes + adds.bytes > limit.bytes:
            return ContributionLimitReached(whose, there, limit, adds)
    return None


async def end_closed(connection: AsyncConnection, gallery_id: GalleryId, *, at: datetime) -> list[UUID]:
    """Abort the pending uploads of all contributors, if the gallery takes no contributions. Returns their
    items' ids.
    """
    rows = await (await driver_of(connection)).fetch(_END_OF_CLOSED, gallery_id, None, at)
    return [row["media_id"] for row in rows]


async def end_contributor(
    connection: AsyncConnection, contributor_id: ContributorId, gallery_id: GalleryId, *, at: datetime
) -> list[UUID]:
    """Record a contributor as removed, and abort its pending uploads. Returns their items' ids.

    Nothing is recorded for a gallery that is deleted.
    """
    home = select(contents.c.deleted_at).where(contents.c.gallery_id == gallery_id).with_for_update()
    if (await connection.execute(home)).scalar() is not None:
        return []
    removed = upsert(removed_contributors).values(contributor_id=contributor_id, gallery_id=gallery_id)
    await connection.execute(removed.on_conflict_do_nothing())
    driver = await driver_of(connection)
    rows = await driver.fetch(_END_OF_CONTRIBUTOR, gallery_id, contributor_id, at)
    return [row["media_id"] for row in rows]


async def hold_items_of(
    connection: AsyncConnection, contributor_id: ContributorId, gallery_id: GalleryId, *, limit: int
) -> tuple[AccountId | None, Sequence[HeldItem]]:
    """Returns the owner of a gallery, and up to `limit` items that a contributor added to it; all are locked
    until the end of the transaction.
    """
    home = select(contents.c.owner_id).where(contents.c.gallery_id == gallery_id).with_for_update()
    owner_id = (await connection.execute(home)).scalar()
    rows = await (await driver_of(connection)).fetch(_ITEMS_OF, gallery_id, contributor_id, limit)
    return owner_id, [HeldItem(*row) for row in rows]
