"""Ends: a gallery is deleted, uploads are abandoned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kappi_chassis.outbox import OutboxRow
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain import GalleryId
from kappi_media.models import contents, deleted_media, items, outbox, uploads


@dataclass(frozen=True, slots=True)
class AbandonedUpload:
    """was_pending: nobody was told yet that its bytes may go."""

    media_id: UUID
    gallery_id: UUID
    was_pending: bool


async def close_gallery(connection: AsyncConnection, gallery_id: GalleryId, *, at: datetime) -> None:
    """Leave the tombstone, also where there was nothing, and remove every other row of the gallery.

    The tombstone comes first: its lock waits for batches and completions under way, so that the deletes
    that follow see their rows, and it refuses the ones that come later.
    """
    tombstone = upsert(contents).values(gallery_id=gallery_id, version=1, item_count=0, deleted_at=at)
    await connection.execute(
        tombstone.on_conflict_do_update(
            index_elements=[contents.c.gallery_id],
            set_={"deleted_at": at, "item_count": 0, "version": contents.c.version + 1},
            where=contents.c.deleted_at.is_(None),
        )
    )
    for table in (items, uploads, deleted_media):
        await connection.execute(delete(table).where(table.c.gallery_id == gallery_id))


async def take_abandoned(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> list[AbandonedUpload]:
    """Remove up to `limit` uploads that expired before the instant and were not completed.

    Those that another transaction is busy with are left for the next time.
    """
    found = await connection.execute(
        select(uploads.c.id)
        .where(uploads.c.state != "completed", uploads.c.expires_at < before)
        .order_by(uploads.c.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = await connection.execute(
        delete(uploads)
        .where(uploads.c.id.in_(found.scalars().all()))
        .returning(uploads.c.media_id, uploads.c.gallery_id, uploads.c.state)
    )
    return [
        AbandonedUpload(row.media_id, row.gallery_id, was_pending=row.state == "pending") for row in removed
    ]


async def publish_all(connection: AsyncConnection, rows: Sequence[OutboxRow], *, sequence: int) -> None:
    """Queue events about as many aggregates in one statement; the caller wakes the relay."""
    await connection.execute(insert(outbox), [{**row._asdict(), "sequence": sequence} for row in rows])
