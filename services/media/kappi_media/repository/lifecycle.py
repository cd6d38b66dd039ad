"""Removes the rows of abandoned uploads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from kappi_chassis.outbox import OutboxRow
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, Charge
from kappi_media.models.base import outbox
from kappi_media.models.gallery import contents
from kappi_media.models.upload import uploads
from kappi_media.repository.ownership import release_all
from kappi_media.repository.reservations import OpenReservation, give_back

FIRST_SEQUENCE: Final = 1
"""The sequence of the event that ends an upload before it is completed."""


@dataclass(frozen=True, slots=True)
class AbandonedUpload:
    """An upload that was not completed. was_pending: the removal of its bytes has not been published yet.
    traceparent: of the request that declared it.
    """

    media_id: UUID
    gallery_id: UUID
    was_pending: bool
    traceparent: str | None


async def take_abandoned(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> list[AbandonedUpload]:
    """Remove up to `limit` uploads that expired before the instant and were not completed.

    Uploads that another transaction has locked are left for the next time.
    """
    due = (uploads.c.state != "completed", uploads.c.expires_at < before)
    found = await connection.execute(
        select(uploads.c.id, uploads.c.gallery_id).where(*due).order_by(uploads.c.expires_at).limit(limit)
    )
    candidates = found.all()
    owners = await _hold_galleries(connection, {row.gallery_id for row in candidates})
    free = (
        select(uploads.c.id)
        .where(uploads.c.id.in_([row.id for row in candidates]), *due)
        .with_for_update(skip_locked=True)
    )
    taken, reserved, promised = [], Counter[AccountId](), []
    for row in await _remove(connection, (await connection.execute(free)).scalars().all()):
        pending = row.state == "pending"
        taken.append(AbandonedUpload(row.media_id, row.gallery_id, pending, row.traceparent))
        if row.state != "pending":
            continue
        owner_id = owners.get(row.gallery_id)
        if owner_id is not None:
            reserved[owner_id] += row.charged_bytes
        if row.address_id is not None:
            promised.append(OpenReservation(row.address_id, row.gallery_id, row.charged_bytes))
    await release_all(connection, {owner: Charge(size, 0) for owner, size in reserved.items()})
    if promised:
        await give_back(connection, promised)
    return taken


async def _remove(connection: AsyncConnection, upload_ids: Sequence[UUID]) -> Sequence[Any]:
    removed = await connection.execute(
        delete(uploads)
        .where(uploads.c.id.in_(upload_ids))
        .returning(
            uploads.c.media_id,
            uploads.c.gallery_id,
            uploads.c.state,
            uploads.c.charged_bytes,
            uploads.c.address_id,
            uploads.c.traceparent,
        )
    )
    return removed.all()


async def _hold_galleries(
    connection: AsyncConnection, gallery_ids: Collection[UUID]
) -> dict[UUID, AccountId | None]:
    """Returns the owners of the galleries. They are locked, so none changes before the transaction ends."""
    held = await connection.execute(
        select(contents.c.gallery_id, contents.c.owner_id)
        .where(contents.c.gallery_id.in_(gallery_ids))
        .order_by(contents.c.gallery_id)
        .with_for_update(read=True)
    )
    return {row.gallery_id: row.owner_id for row in held}


async def publish_all(connection: AsyncConnection, rows: Sequence[OutboxRow], *, sequence: int) -> None:
    """Queue one event for each of several aggregates in one statement; the caller wakes the relay."""
    await publish_each(connection, [(row, sequence) for row in rows])


async def publish_each(connection: AsyncConnection, rows: Sequence[tuple[OutboxRow, int]]) -> None:
    """As `publish_all`, with a sequence for each event."""
    values = [{**row._asdict(), "sequence": sequence} for row, sequence in rows]
    await connection.execute(insert(outbox), values)
