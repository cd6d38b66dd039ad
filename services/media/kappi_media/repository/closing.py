"""Closes deleted galleries: a number of statements that does not depend on how many they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from kappi_chassis.bus.processor import TooMuchTogether

from kappi_media.domain.media import AccountId, Charge, GalleryId
from kappi_media.repository.reservations import leave_counted

MOST_ITEMS: Final = 20_000
"""The items of galleries that are closed in one transaction; a gallery of more is closed alone."""

# Each statement takes its locks in one order, so that two transactions never wait for each other.
_CLOSE: Final = """
INSERT INTO contents AS c (gallery_id, version, item_count, deleted_at)
SELECT gallery_id, 1, 0, deleted_at FROM unnest($1::uuid[], $2::timestamptz[]) AS e (gallery_id, deleted_at)
ORDER BY gallery_id
ON CONFLICT (gallery_id) DO UPDATE
SET deleted_at = excluded.deleted_at, item_count = 0, version = c.version + 1 WHERE c.deleted_at IS NULL
RETURNING gallery_id, owner_id, old.item_count
"""
_END_CLAIMS: Final = """
UPDATE contents SET claimant_id = NULL, claim_bytes = NULL, claim_until = NULL
WHERE gallery_id = ANY($1::uuid[]) AND claimant_id IS NOT NULL
RETURNING old.claimant_id, old.claim_bytes
"""
_HELD: Final = """
SELECT owner_id, sum(reserved)::bigint AS reserved, sum(used)::bigint AS used
FROM contents JOIN (
  SELECT gallery_id, charged_bytes AS reserved, 0 AS used FROM uploads
  WHERE gallery_id = ANY($1::uuid[]) AND state = 'pending'
  UNION ALL
  SELECT gallery_id, 0, charged_bytes FROM items WHERE gallery_id = ANY($1::uuid[]) AND status <> 'rejected'
) AS held USING (gallery_id)
GROUP BY owner_id
"""
_REMOVE: Final = tuple(
    f"DELETE FROM {table} WHERE gallery_id = ANY($1::uuid[])"  # noqa: S608 - the names below
    for table in ("items", "uploads", "deleted_media", "access_log", "removed_contributors")
)
_LOCK_ACCOUNTS: Final = "SELECT FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_RELEASE: Final = """
UPDATE accounts a SET reserved_bytes = a.reserved_bytes - e.reserved, used_bytes = a.used_bytes - e.used
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS e (id, reserved, used) WHERE a.id = e.id
"""


async def close_galleries(driver: Any, deleted_at: Mapping[GalleryId, datetime]) -> None:
    """Leave tombstones, also where there were no rows, and remove every other row of the galleries.

    The tombstones come first: their locks wait for batches and completions under way, so that the following
    statements see their rows, and they refuse later ones.

    deleted_at: by gallery. driver: an asyncpg connection in a transaction. Raises TooMuchTogether.
    """
    gallery_ids = list(deleted_at)
    closed = await driver.fetch(_CLOSE, gallery_ids, list(deleted_at.values()))
    if len(gallery_ids) > 1 and sum(row["item_count"] or 0 for row in closed) > MOST_ITEMS:
        raise TooMuchTogether
    owned = [row["gallery_id"] for row in closed if row["owner_id"] is not None]
    charges = await _charged_for(driver, gallery_ids, owned=owned)
    await leave_counted(driver, deleted_at)
    for statement in _REMOVE:
        await driver.execute(statement, gallery_ids)
    if charges:
        await driver.execute(_LOCK_ACCOUNTS, list(charges))
        rows = ((account, each.reserved_bytes, each.used_bytes) for account, each in charges.items())
        await driver.execute(_RELEASE, *map(list, zip(*rows, strict=True)))


async def _charged_for(
    driver: Any, gallery_ids: Sequence[UUID], *, owned: Sequence[UUID]
) -> Mapping[AccountId, Charge]:
    """Ends the claims of galleries. Returns by account what was charged for these and for the owned
    galleries.
    """
    reserved: defaultdict[AccountId, int] = defaultdict(int)
    used: defaultdict[AccountId, int] = defaultdict(int)
    for row in await driver.fetch(_END_CLAIMS, gallery_ids):
        reserved[row["claimant_id"]] += row["claim_bytes"]
    for row in await driver.fetch(_HELD, owned) if owned else ():
        reserved[row["owner_id"]] += row["reserved"]
        used[row["owner_id"]] += row["used"]
    return {account: Charge(reserved[account], used[account]) for account in reserved}
