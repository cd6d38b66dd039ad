"""Budgets of reservations for anonymous galleries: released when a reservation is over and its URL has
expired.

A budget changes in the transaction that changes the upload. Rows of budgets are locked last, after those in
`ownership`, in the order of their holders; the two functions of migration 0008 do this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from kappi_chassis.db import driver_of
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AddressId, GalleryId

SWEEP_BATCH: Final = 1_000

_GIVE_BACK = """
SELECT free_promise_budgets(array_agg(r.holder), array_agg(r.files), array_agg(r.bytes))
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS r (holder, files, bytes)
"""
_LEAVE_COUNTED = """
INSERT INTO ended_promises (address_id, gallery_id, files, bytes, ended_at)
SELECT address_id, gallery_id, count(*), sum(charged_bytes), ended_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS e (gallery_id, ended_at) JOIN uploads USING (gallery_id)
WHERE state = 'pending' AND address_id IS NOT NULL GROUP BY address_id, gallery_id, ended_at
"""
_FREE = """
WITH due AS (
  SELECT id FROM ended_promises WHERE {due}),
gone AS (
  DELETE FROM ended_promises e USING due WHERE e.id = due.id
  RETURNING e.address_id, e.gallery_id, e.files, e.bytes),
each AS (
  SELECT address_id AS holder, files, bytes FROM gone UNION ALL SELECT gallery_id, files, bytes FROM gone)
SELECT (SELECT count(*) FROM gone),
  free_promise_budgets(array_agg(holder), array_agg(files), array_agg(bytes))
FROM each
"""
# Of several transactions that release the same rows, one does it, and the others wait for it.
_OF = "ended_at <= $1 AND (address_id = $2 OR gallery_id = $3)"
_FREE_OF = _FREE.format(due=_OF + " ORDER BY id FOR UPDATE")
_ANY_OF = f"SELECT EXISTS (SELECT FROM ended_promises WHERE {_OF})"  # noqa: S608 - the condition above
_FREE_ANY = _FREE.format(due=f"ended_at <= $1 ORDER BY ended_at LIMIT {SWEEP_BATCH} FOR UPDATE SKIP LOCKED")
_FORGET = "DELETE FROM promise_budgets WHERE files = 0"


class OpenReservation(NamedTuple):
    """A pending upload of an anonymous gallery, as it counts against two budgets."""

    address_id: UUID
    gallery_id: UUID
    size_bytes: int


async def give_back(connection: AsyncConnection, over: Sequence[OpenReservation]) -> None:
    """Release reservations that are over and whose URLs have expired."""
    holders = [each.address_id for each in over] + [each.gallery_id for each in over]
    sizes = [each.size_bytes for each in over] * 2
    await (await driver_of(connection)).execute(_GIVE_BACK, holders, [1] * len(holders), sizes)


async def leave_counted(driver: Any, ended_at: Mapping[GalleryId, datetime]) -> None:
    """End the reservations of deleted galleries. They count as long as signed URLs may be valid.

    ended_at: by gallery. driver: an asyncpg connection in a transaction.
    """
    await driver.execute(_LEAVE_COUNTED, list(ended_at), list(ended_at.values()))


async def free_ended_of(
    connection: AsyncConnection, address_id: AddressId, gallery_id: GalleryId, *, ended_by: datetime
) -> bool:
    """Release the reservations of an address and a gallery that ended by the instant. Returns False when
    there are none.
    """
    driver = await driver_of(connection)
    if not await driver.fetchval(_ANY_OF, ended_by, address_id, gallery_id):
        return False
    await driver.execute(_FREE_OF, ended_by, address_id, gallery_id)
    return True


async def free_ended(connection: AsyncConnection, *, ended_by: datetime) -> int:
    """Release up to `SWEEP_BATCH` ended reservations of all addresses. Returns the number released."""
    freed: int = await (await driver_of(connection)).fetchval(_FREE_ANY, ended_by)
    return freed


async def forget_unused(connection: AsyncConnection) -> None:
    """Remove unused budgets, and with them the addresses."""
    await (await driver_of(connection)).execute(_FORGET)
