"""Deletes galleries whose deadline has passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kappi_chassis.bus.processor import TooMuchTogether
from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import BatchUnit
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryExpired

from kappi_galleries import metrics
from kappi_galleries.repository.tombstones import lock_galleries
from kappi_galleries.use_cases.delete_gallery import Doomed, tombstone_galleries

MOST_ITEMS: Final = 20_000
"""The items of galleries that are deleted in one transaction; a gallery of more is deleted alone."""

_log = get_logger(__name__)


class ExpireGalleries:
    """The effect of `GalleryExpired`: deletes galleries that are due and ignores those that were extended or
    are gone.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def __call__(self, unit: BatchUnit, envelopes: Sequence[Envelope[GalleryExpired]]) -> None:
        """Delete each gallery whose stored deadline, not the one in the event, is due at the event's `as_of`.

        A gallery that this database does not know was created after a restored backup. Raises
        TooMuchTogether.
        """
        galleries = await lock_galleries(unit.driver, [each.data.gallery_id for each in envelopes])
        if len(galleries) > 1 and sum(each.item_count for each in galleries.values()) > MOST_ITEMS:
            raise TooMuchTogether
        now, doomed, outcomes = self._clock(), [], Counter[str]()
        for envelope in envelopes:
            claim = envelope.data
            gallery = galleries.get(claim.gallery_id)
            if gallery is None:
                outcomes["unknown"] += 1
            elif not gallery.is_due(claim.as_of):
                outcomes["not_due"] += 1
                _log.info("gallery.not_due", gallery_id=str(gallery.id), as_of=claim.as_of.isoformat())
            else:
                outcomes["deleted"] += 1
                doomed.append(Doomed(gallery, envelope.traceparent))
                galleries[claim.gallery_id] = replace(gallery, deleted_at=now)
        if doomed:
            await tombstone_galleries(unit, doomed, reason="expired", now=now)
        for outcome, number in outcomes.items():
            metrics.EXPIRY_CLAIMS.labels(outcome).inc(number)
        metrics.DELETED.labels("expired").inc(len(doomed))
