"""The effects of events from other services: a gallery is claimed or deleted, and a tick sweeps uploads that
were not completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kappi_chassis.outbox import BatchUnit, Outbox, UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted, GalleryUpdated, LinkExpired, MediaDeleted

from kappi_media import metrics
from kappi_media.domain.media import AccountId, GalleryId, LinkId
from kappi_media.repository.closing import close_galleries
from kappi_media.repository.contributions import end_closed
from kappi_media.repository.gps_free import note_face
from kappi_media.repository.lifecycle import FIRST_SEQUENCE, publish_all, take_abandoned
from kappi_media.repository.links import remove_if_over
from kappi_media.repository.ownership import adopt
from kappi_media.use_cases.contributions import publish_ended

SWEEP_BATCH = 500


async def forget_galleries(unit: BatchUnit, envelopes: Sequence[Envelope[GalleryDeleted]]) -> None:
    """The inbox effect of GalleryDeleted: the galleries hold nothing and accept nothing from now on. Raises
    TooMuchTogether.
    """
    first = {GalleryId(each.data.gallery_id): each.data.deleted_at for each in reversed(envelopes)}
    await close_galleries(unit.driver, first)


class NoteChange:
    """The inbox effect of GalleryUpdated: a claimed gallery's bytes are charged to the account. Links lead to
    the variant that the gallery's viewers get, and do not work while it is closed. Pending uploads of
    contributors end when it takes no contributions any more.

    The owner needs no sequence: only an anonymous gallery ever changes its owner, and only once.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[GalleryUpdated]) -> None:
        event = envelope.data
        gallery_id = GalleryId(event.gallery_id)
        if event.owner_id is not None:
            await adopt(unit.connection, gallery_id, owner_id=AccountId(event.owner_id))
        await note_face(
            unit.connection,
            gallery_id,
            location_free=event.location_free,
            closed=event.closed,
            contributions_closed=None if event.contributions is None else event.contributions == "closed",
            version=envelope.sequence,
        )
        ended = await end_closed(unit.connection, gallery_id, at=event.updated_at)
        await publish_ended(self._outbox, unit, ended, gallery_id=gallery_id, at=event.updated_at)


async def clear_link(unit: UnitOfWork, envelope: Envelope[LinkExpired]) -> None:
    """The inbox effect of LinkExpired: the janitor proposes the removal, the link's own deadline decides."""
    event = envelope.data
    await remove_if_over(unit.connection, LinkId(event.link_id), as_of=event.as_of)


class SweepAbandonedUploads:
    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, as_of: datetime) -> int:
        """Remove uploads that expired before `as_of` (the tick's instant, not the wall clock).

        Each transaction removes 500. Returns the number removed. Doing it twice has the effect of once.
        """
        swept = 0
        while taken := await self._batch(as_of):
            swept += taken
        metrics.UPLOADS_ABANDONED.inc(swept)
        return swept

    async def _batch(self, as_of: datetime) -> int:
        async with self._outbox.begin() as unit:
            taken = await take_abandoned(unit.connection, before=as_of, limit=SWEEP_BATCH)
            rows = [
                self._outbox.row(
                    MediaDeleted(
                        media_id=upload.media_id,
                        gallery_id=upload.gallery_id,
                        reason="abandoned",
                        deleted_at=as_of,
                    ),
                    traceparent=upload.traceparent,
                )
                for upload in taken
                if upload.was_pending
            ]
            if rows:
                await publish_all(unit.connection, rows, sequence=FIRST_SEQUENCE)
                unit.published = True
        return len(taken)
