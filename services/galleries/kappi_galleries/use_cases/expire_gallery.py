"""Deletes galleries whose deadline has passed."""

from __future__ import annotations

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryExpired

from kappi_galleries import metrics
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.use_cases.delete_gallery import tombstone_gallery

_log = get_logger(__name__)


class ExpireGallery:
    """The effect of `GalleryExpired`: deletes a gallery that is due and ignores one that was extended or is
    gone.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[GalleryExpired]) -> None:
        """Delete the gallery if its stored deadline, not the one in the event, is due at the event's `as_of`.

        A gallery that this database does not know was created after a restored backup.
        """
        claim = envelope.data
        gallery = await GalleryRows(unit.connection).lock(claim.gallery_id)
        if gallery is None:
            metrics.EXPIRY_CLAIMS.labels("unknown").inc()
            return
        if not gallery.is_due(claim.as_of):
            metrics.EXPIRY_CLAIMS.labels("not_due").inc()
            _log.info("gallery.not_due", gallery_id=str(gallery.id), as_of=claim.as_of.isoformat())
            return
        await tombstone_gallery(unit, gallery, reason="expired", now=self._clock())
        metrics.EXPIRY_CLAIMS.labels("deleted").inc()
        metrics.DELETED.labels("expired").inc()
