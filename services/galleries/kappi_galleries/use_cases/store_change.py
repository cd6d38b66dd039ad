"""The one place that writes a changed gallery and publishes `GalleryUpdated`, but for covers that leave with
their items (`item_counters`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from kappi_chassis.outbox import UnitOfWork

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.events import updated
from kappi_galleries.repository.galleries import GalleryRows, Secrets


async def store_change(
    unit: UnitOfWork, gallery: Gallery, *, now: datetime, secrets: Secrets | None = None
) -> Gallery:
    """Store a locked gallery as its next version. Returns that version.

    gallery: with the changed fields and the version before. secrets: the secrets that change with it.
    """
    stored = replace(gallery, version=gallery.version + 1, updated_at=now)
    await GalleryRows(unit.connection).update(stored, secrets=secrets)
    await unit.publish(updated(stored), sequence=stored.version)
    return stored
