"""Deletes a gallery and publishes `GalleryDeleted`, for every reason."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import GalleryDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.contributors import ContributorRows
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.statistics import StatisticsRows
from kappi_galleries.use_cases.access import Manager, lock_managed_or_gone


class DeleteGallery:
    """Deletes a gallery as its manager."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def __call__(self, gallery_id: UUID, manager: Manager) -> None:
        """Delete the gallery. Repeating it has no further effect, so a client that lost the answer may repeat
        it.

        Raises GalleryKeyWrong, GalleryNotFound.
        """
        now = self._clock()
        async with self._outbox.begin() as unit:
            gallery = await lock_managed_or_gone(GalleryRows(unit.connection), gallery_id, manager)
            if gallery.deleted_at is not None:
                return
            await tombstone_gallery(unit, gallery, reason="requested", now=now)
        metrics.DELETED.labels("requested").inc()


async def tombstone_gallery(
    unit: UnitOfWork,
    gallery: Gallery,
    *,
    reason: Literal["requested", "expired", "account_deleted"],
    now: datetime,
) -> None:
    """Turn a gallery that is locked in this transaction into a tombstone, and publish the deletion."""
    version = gallery.version + 1
    await GalleryRows(unit.connection).tombstone(gallery.id, deleted_at=now, version=version)
    await ContributorRows(unit.connection).forget_all(gallery.id)
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
