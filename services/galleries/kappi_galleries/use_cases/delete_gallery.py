"""Deletes a gallery and publishes `GalleryDeleted`, for every reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.db import driver_of
from kappi_chassis.outbox import BatchUnit, Outbox, UnitOfWork
from kappi_contracts.events import GalleryDeleted

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.repository.tombstones import tombstone
from kappi_galleries.use_cases.access import Manager, lock_managed_or_gone

Reason = Literal["requested", "expired", "account_deleted"]


class Doomed(NamedTuple):
    """A gallery that is deleted. traceparent: of the event that led to it; None for the current work."""

    gallery: Gallery
    traceparent: str | None = None


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
            await tombstone_galleries(unit, [Doomed(gallery)], reason="requested", now=now)
        metrics.DELETED.labels("requested").inc()


async def tombstone_galleries(
    unit: UnitOfWork | BatchUnit, doomed: Sequence[Doomed], *, reason: Reason, now: datetime
) -> None:
    """Turn different living galleries, locked in this transaction, into tombstones, and publish the
    deletions.
    """
    driver = unit.driver if isinstance(unit, BatchUnit) else await driver_of(unit.connection)
    await tombstone(driver, [each.gallery.id for each in doomed], deleted_at=now)
    for gallery, traceparent in doomed:
        event = GalleryDeleted(
            gallery_id=gallery.id, owner_id=gallery.owner_id, reason=reason, deleted_at=now
        )
        await unit.publish(event, sequence=gallery.version + 1, traceparent=traceparent)
