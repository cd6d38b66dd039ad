"""Purges objects that were stored for an item that was deleted while they were made."""

from __future__ import annotations

from datetime import datetime

from kappi_chassis.db import driver_of
from kappi_chassis.outbox import Outbox
from kappi_contracts.events import MediaDeleted

from kappi_media.domain.media import GalleryId, MediaId
from kappi_media.repository.processing import item_exists, next_sequence_of_gone


async def purge_again(outbox: Outbox, media_id: MediaId, gallery_id: GalleryId, *, now: datetime) -> None:
    """Request one more purge of the item's prefix: the bytes may have been stored after the purge.

    Objects stored for an item that was moved meanwhile are removed with the folder it left.
    """
    deleted = MediaDeleted(media_id=media_id, gallery_id=gallery_id, reason="requested", deleted_at=now)
    async with outbox.begin() as unit:
        if await item_exists(unit.connection, media_id):
            return
        driver = await driver_of(unit.connection)
        await unit.publish(deleted, sequence=await next_sequence_of_gone(driver, media_id))
