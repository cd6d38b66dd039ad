"""Records moves of items to another gallery of their owner (ADR-0025).

Locks are taken in the order that `ownership` describes, and rows of `moves` last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database
from kappi_chassis.outbox import OutboxRow
from kappi_contracts.rendition_formats import StoredFormat
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, GalleryId, MediaId
from kappi_media.models.account import accounts
from kappi_media.models.gallery import contents
from kappi_media.models.item import moves, object_folders
from kappi_media.repository.processing import PAIR
from kappi_media.repository.raw_pairs import pair_raw

# The first move of each account comes before the second of any, so that no account waits for all moves of
# another. At most `$3` moves of one account are under way at the same time, over all processes.
_TAKE = """
WITH busy AS (
  SELECT account_id, count(*) AS number FROM moves
  WHERE done_at IS NULL AND leased_until > $1 GROUP BY account_id),
due AS (
  SELECT m.folder, row_number() OVER (PARTITION BY m.account_id ORDER BY m.folder)
    + coalesce(busy.number, 0) AS nth
  FROM moves m LEFT JOIN busy ON busy.account_id = m.account_id
  WHERE m.done_at IS NULL AND m.leased_until <= $1),
chosen AS (SELECT folder FROM due WHERE nth <= $3 ORDER BY nth, folder LIMIT $4),
free AS (
  SELECT folder FROM moves WHERE folder IN (SELECT folder FROM chosen)
    AND done_at IS NULL AND leased_until <= $1 ORDER BY folder FOR UPDATE SKIP LOCKED)
UPDATE moves SET leased_until = $2, attempts = attempts + 1 FROM free WHERE moves.folder = free.folder
RETURNING moves.folder, moves.attempts
"""
_LEASE = "UPDATE moves SET leased_until = $2 WHERE folder = $1 AND done_at IS NULL RETURNING true"
_PENDING = """
SELECT m.media_id, m.gallery_id, m.account_id, i.gallery_id AS from_gallery_id, i.folder AS from_folder,
  i.size_bytes, i.sidecar_filename IS NOT NULL AS has_sidecar,
  ARRAY(SELECT ARRAY[r.size, r.format] FROM renditions r WHERE r.media_id = i.id) AS renditions,
  EXISTS (SELECT FROM location_free_copies l WHERE l.media_id = i.id AND NOT l.unchanged) AS location_free
FROM moves m LEFT JOIN items i ON i.id = m.media_id AND i.status = 'ready'
WHERE m.folder = $1 AND m.done_at IS NULL
"""
_HOLD_GALLERIES = """
SELECT gallery_id FROM contents
WHERE gallery_id IN ($1, $2) AND owner_id = $3 AND deleted_at IS NULL AND NOT closed
ORDER BY gallery_id FOR UPDATE
"""
# Transactions that give up or replace the move, or add a link to the item, end before the switch reads, or
# wait.
_HOLD_ITEM = """
SELECT 1 FROM items i, moves m WHERE i.id = $1 AND m.folder = $2 AND m.done_at IS NULL FOR UPDATE OF i, m
"""
_SWITCH = """
WITH moved AS (
  UPDATE items i SET gallery_id = $3, folder = $4, etag = $6, live_partner_id = NULL, raw_partner_id = NULL,
    position = NULL, version = i.version + 1
  WHERE i.id = $1 AND i.gallery_id = $2 AND i.folder IS NOT DISTINCT FROM $5::bigint AND i.status = 'ready'
    AND (i.sidecar_filename IS NOT NULL) = $24
  RETURNING i.id, i.version, i.live_id, i.content_type, i.taken_at,
    old.live_partner_id AS partner_id, old.raw_partner_id),
alone AS (
  UPDATE items p SET live_partner_id = nullif(p.live_partner_id, moved.id),
    raw_partner_id = nullif(p.raw_partner_id, moved.id), version = p.version + 1
  FROM moved WHERE p.id IN (moved.partner_id, moved.raw_partner_id)),
not_copied AS (
  DELETE FROM renditions r USING moved
  WHERE r.media_id = moved.id
    AND (r.size, r.format) NOT IN (SELECT * FROM unnest($7::text[], $8::text[]))),
copied AS (
  UPDATE location_free_copies l SET etag = CASE WHEN l.unchanged THEN $6 ELSE $9::text END FROM moved
  WHERE l.media_id = moved.id AND (l.unchanged OR $9::text IS NOT NULL)),
copy_not_copied AS (
  DELETE FROM location_free_copies l USING moved
  WHERE l.media_id = moved.id AND NOT l.unchanged AND $9::text IS NULL),
copied_sidecar AS (
  UPDATE sidecars s SET etag = $23 FROM moved WHERE s.media_id = moved.id AND $23::text IS NOT NULL),
unclaimed AS (
  DELETE FROM rendition_claims c USING moved WHERE c.media_id = moved.id),
uploaded AS (
  UPDATE uploads u SET gallery_id = $3 FROM moved WHERE u.media_id = moved.id),
linked AS (
  UPDATE links l SET gallery_id = $3 FROM moved WHERE l.media_id = moved.id),
counted AS (
  UPDATE contents c SET version = c.version + 1,
    item_count = c.item_count + CASE WHEN c.gallery_id = $3 THEN 1 ELSE -1 END
  FROM moved WHERE c.gallery_id IN ($2, $3)),
done AS (
  UPDATE moves SET done_at = $10, moved = true FROM moved WHERE moves.folder = $4),
told AS (
  INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
  SELECT $11, $12, $13, $14, $15, $16, version FROM moved),
told_what_is_unused AS (
  INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
  SELECT $17, $18, $19, $20, $21, $22, $4 FROM moved)
SELECT live_id, content_type, taken_at FROM moved
"""
_GIVE_UP = """
WITH done AS (UPDATE moves SET done_at = $2 WHERE folder = $1 AND done_at IS NULL RETURNING folder)
INSERT INTO outbox (event_id, topic, type, key, payload, traceparent, sequence)
SELECT $3, $4, $5, $6, $7, $8, folder FROM done
RETURNING true
"""
_SETTLED = """
SELECT t.media_id, i.gallery_id, coalesce((
    SELECT m.moved FROM moves m WHERE m.media_id = t.media_id AND m.gallery_id = $2
    ORDER BY m.folder DESC LIMIT 1), false)
FROM unnest($1::uuid[]) AS t (media_id) LEFT JOIN items i ON i.id = t.media_id
WHERE NOT EXISTS (SELECT FROM moves m WHERE m.media_id = t.media_id AND m.done_at IS NULL)
"""
_FORGET = """
DELETE FROM moves WHERE folder IN (SELECT folder FROM moves WHERE done_at < $1 ORDER BY done_at LIMIT $2)
"""
_STORED_BYTES = """
SELECT i.id, i.charged_bytes
  + coalesce((SELECT sum(r.size_bytes) FROM renditions r WHERE r.media_id = i.id), 0)
  + coalesce((SELECT l.size_bytes FROM location_free_copies l WHERE l.media_id = i.id AND NOT l.unchanged), 0)
  AS size_bytes
FROM items i WHERE i.id = ANY($1)
"""
_REQUESTED = (moves.c.folder, moves.c.media_id, moves.c.gallery_id)


class RequestedMove(NamedTuple):
    """A requested move. folder: of the objects, in the gallery that they are to be moved to."""

    folder: int
    media_id: UUID
    gallery_id: UUID


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What an account's moves since an instant keep in the store. used_bytes: of its items. pending: moves
    that are not done.
    """

    bytes: int
    used_bytes: int
    pending: int


class LeasedMove(NamedTuple):
    """A move that this process carries out. attempts: this one included."""

    folder: int
    attempts: int


class PendingMove(NamedTuple):
    """A move that is not done. from_gallery_id: None when the item is deleted. size_bytes: of the original.

    renditions, location_free, has_sidecar: the objects that exist beside the original.
    """

    media_id: MediaId
    gallery_id: GalleryId
    account_id: AccountId
    from_gallery_id: GalleryId | None
    from_folder: int | None
    size_bytes: int | None
    renditions: Sequence[tuple[str, StoredFormat]]
    location_free: bool
    has_sidecar: bool


class SettledMove(NamedTuple):
    """The result of a move. gallery_id: where the item is; None when it is deleted. moved: it was moved to
    the requested gallery.
    """

    gallery_id: UUID | None
    moved: bool


class CopiedObjects(NamedTuple):
    """The objects copied to the new folder. location_free_etag, sidecar_etag: None when there is none."""

    etag: str
    location_free_etag: str | None
    sidecar_etag: str | None
    renditions: Collection[tuple[str, StoredFormat]]


class MoveQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, *, now: datetime, until: datetime, of_account: int, limit: int) -> list[LeasedMove]:
        """Lease up to `limit` moves that are due. of_account: at most this many of one account are
        under way.
        """
        records = await self._database.hot.fetch(_TAKE, now, until, of_account, limit)
        return [LeasedMove(*record) for record in records]

    async def lease(self, folder: int, *, until: datetime) -> bool:
        """Extend a lease until an instant. Returns False when the move is done."""
        return bool(await self._database.hot.fetchval(_LEASE, folder, until))

    async def pending(self, folder: int) -> PendingMove | None:
        """Returns None for a move that is done or replaced by another."""
        record: Any = await self._database.hot.fetchrow(_PENDING, folder)
        if record is None:
            return None
        fields = dict(record)
        return PendingMove(**fields | {"renditions": [(size, fmt) for size, fmt in fields["renditions"]]})

    async def switch(
        self,
        move: PendingMove,
        folder: int,
        copied: CopiedObjects,
        *,
        moved: OutboxRow,
        unused: OutboxRow,
        now: datetime,
    ) -> bool:
        """Move the item into its new gallery and publish it. Returns False when anything has changed since it
        was read.
        """
        sizes, formats = zip(*copied.renditions, strict=True) if copied.renditions else ((), ())
        async with self._database.hot.acquire() as connection, connection.transaction():
            galleries = await connection.fetch(
                _HOLD_GALLERIES, move.from_gallery_id, move.gallery_id, move.account_id
            )
            if len(galleries) < 2 or not await connection.fetchval(_HOLD_ITEM, move.media_id, folder):
                return False
            record = await connection.fetchrow(
                _SWITCH,
                move.media_id,
                move.from_gallery_id,
                move.gallery_id,
                folder,
                move.from_folder,
                copied.etag,
                sizes,
                formats,
                copied.location_free_etag,
                now,
                *moved,
                *unused,
                copied.sidecar_etag,
                move.has_sidecar,
            )
            if record is not None:
                await _pair_again(connection, move, record)
        return record is not None

    async def give_up(self, folder: int, *, unused: OutboxRow, now: datetime) -> bool:
        """End a move and leave the item where it is. Returns False when the move is done already."""
        return bool(await self._database.hot.fetchval(_GIVE_UP, folder, now, *unused))

    async def settled(self, media_ids: Collection[UUID], gallery_id: UUID) -> dict[UUID, SettledMove]:
        """Returns the results for those of these items that have no pending move. gallery_id: the target of
        the moves.
        """
        records = await self._database.hot.fetch(_SETTLED, list(media_ids), gallery_id)
        return {media_id: SettledMove(*found) for media_id, *found in records}

    async def forget(self, before: datetime, *, limit: int) -> int:
        """Remove up to `limit` moves that were done before the instant. Returns the number removed."""
        status: str = await self._database.hot.execute(_FORGET, before, limit)
        return int(status.rpartition(" ")[2])


async def _pair_again(connection: Any, move: PendingMove, moved: Any) -> None:
    """Pair an item that was moved with the other halves in its new gallery."""
    if moved["live_id"] is not None:
        await connection.execute(PAIR, move.media_id)
    shot = {"content_type": moved["content_type"], "taken_at": moved["taken_at"]}
    await pair_raw(connection, move.media_id, move.gallery_id, **shot)


async def is_open_gallery_of(connection: AsyncConnection, gallery_id: UUID, *, owner_id: AccountId) -> bool:
    found = await connection.execute(
        select(contents.c.gallery_id).where(
            contents.c.gallery_id == gallery_id,
            contents.c.owner_id == owner_id,
            contents.c.deleted_at.is_(None),
        )
    )
    return found.first() is not None


async def leftovers(
    connection: AsyncConnection, account_id: AccountId, *, since: datetime, least_bytes: int
) -> Leftovers:
    """Returns what the account's moves leave in the store. least_bytes: the least size counted for a move.

    It locks the account's row, so that concurrent calls of one account count one after the other.
    """
    used = await connection.scalar(
        select(accounts.c.used_bytes).where(accounts.c.id == account_id).with_for_update(key_share=True)
    )
    left = select(
        func.coalesce(func.sum(func.greatest(moves.c.size_bytes, least_bytes)), 0),
        func.count().filter(moves.c.done_at.is_(None)),
    ).where(moves.c.account_id == account_id, moves.c.done_at.is_(None) | (moves.c.done_at > since))
    size_bytes, pending = (await connection.execute(left)).one()
    return Leftovers(bytes=int(size_bytes), used_bytes=used or 0, pending=pending)


async def hold_pending(connection: AsyncConnection, media_ids: Collection[UUID]) -> dict[UUID, RequestedMove]:
    """Lock and return the moves of these items that are not done, by item."""
    found = await connection.execute(
        select(*_REQUESTED)
        .where(moves.c.media_id.in_(media_ids), moves.c.done_at.is_(None))
        .order_by(moves.c.folder)
        .with_for_update()
    )
    return {move.media_id: move for move in (RequestedMove(*row) for row in found)}


async def end_moves(connection: AsyncConnection, folders: Collection[int], *, now: datetime) -> None:
    """End moves that are replaced by others."""
    await connection.execute(update(moves).where(moves.c.folder.in_(folders)).values(done_at=now))


async def stored_bytes(connection: AsyncConnection, media_ids: Collection[UUID]) -> dict[UUID, int]:
    """Returns the total size of all objects of each of these items."""
    found = await connection.exec_driver_sql(_STORED_BYTES, (list(media_ids),))
    return {row["id"]: int(row["size_bytes"]) for row in found.mappings()}


async def add_moves(
    connection: AsyncConnection,
    sizes: Mapping[UUID, int],
    *,
    gallery_id: GalleryId,
    account_id: AccountId,
    now: datetime,
) -> None:
    """Add moves of items that are locked and have no pending move. sizes: bytes of their objects, by item."""
    rows = [
        {
            "media_id": media_id,
            "gallery_id": gallery_id,
            "account_id": account_id,
            "size_bytes": size_bytes,
            "requested_at": now,
            "leased_until": now,
        }
        for media_id, size_bytes in sizes.items()
    ]
    await connection.execute(insert(moves).values(folder=object_folders.next_value()), rows)
