"""The one place that deletes a gallery and publishes `GalleryDeleted`, whatever the reason."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.events import GalleryDeleted

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.statistics import StatisticsRows


async def delete(
    unit: UnitOfWork,
    gallery: Gallery,
    *,
    reason: Literal["requested", "expired", "account_deleted"],
    now: datetime,
) -> None:
    """Turn a gallery that is locked in this transaction into a tombstone, and publish the deletion."""
    version = gallery.version + 1
    await GalleryRows(unit.connection).tombstone(gallery.id, deleted_at=now, version=version)
    await StatisticsRows(unit.connection).tombstone(gallery.id)
    await unit.publish(
        GalleryDeleted(
            gallery_id=gallery.id,
            owner_id=gallery.owner_id,
            reason=reason,
            deleted_at=now,
        ),
        sequence=version,
    )
