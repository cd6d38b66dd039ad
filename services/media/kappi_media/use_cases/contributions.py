"""What contributors may reach, and what ends with a contributor or with the contributions of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from kappi_chassis.inbox import record
from kappi_chassis.outbox import Outbox, OutboxRow, UnitOfWork
from kappi_chassis.problems import Problem
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import ContributorRemoved, MediaDeleted

from kappi_media import metrics
from kappi_media.domain.contributions import ContributionLimitReached, ContributorId
from kappi_media.domain.media import GalleryId, MediaId, UploadId
from kappi_media.errors import (
    ContributionLimitExceeded,
    ContributionsClosed,
    ContributorKeyWrong,
    MediaNotFound,
    ReservationBudgetExceeded,
    UploadNotFound,
)
from kappi_media.repository.bulk import delete_held
from kappi_media.repository.contributions import (
    ContributionQueries,
    NotTaken,
    end_contributor,
    hold_items_of,
)
from kappi_media.repository.lifecycle import FIRST_SEQUENCE, publish_all, publish_each

PAGE: Final = 200
"""The number of items per transaction."""
PENDING_RETRY_AFTER_S: Final = 60
_PENDING: Final = {"pending_address": "this address", "pending_gallery": "this gallery"}


class OwnContributions:
    """Checks that a thing was added by the contributor that asks for it; who added a thing never changes."""

    def __init__(self, contributions: ContributionQueries) -> None:
        self._contributions = contributions

    async def check_upload(self, by: ContributorId, upload_id: UploadId, gallery_id: GalleryId) -> None:
        """Raises UploadNotFound, the same for an upload of others and for an unknown one."""
        if not await self._contributions.has_upload(by, upload_id, gallery_id):
            raise UploadNotFound

    async def check_item(self, by: ContributorId, media_id: MediaId, gallery_id: GalleryId) -> None:
        """Raises MediaNotFound, the same for an item of others and for an unknown one."""
        if not await self.has_item(by, media_id, gallery_id):
            raise MediaNotFound

    async def has_item(self, by: ContributorId, media_id: MediaId, gallery_id: GalleryId) -> bool:
        return await self._contributions.has_item(by, media_id, gallery_id)


class RemoveContributor:
    """The effect of ContributorRemoved: pending uploads are aborted, and items deleted where the event says
    so.

    Each transaction deletes a page of items, and the last one records the event.
    """

    def __init__(self, outbox: Outbox, *, consumer: str) -> None:
        self._outbox = outbox
        self._consumer = consumer

    async def __call__(self, envelope: Envelope[ContributorRemoved]) -> bool:
        event = envelope.data
        contributor_id, gallery_id = ContributorId(event.contributor_id), GalleryId(event.gallery_id)
        while True:
            async with self._outbox.begin() as unit:
                at = event.removed_at
                ended = await end_contributor(unit.connection, contributor_id, gallery_id, at=at)
                await publish_ended(self._outbox, unit, ended, gallery_id=gallery_id, at=at)
                deleted = 0
                if event.items_deleted:
                    deleted = await self._delete_page(unit, contributor_id, gallery_id, at=at)
                if deleted < PAGE:
                    return await record(unit.connection, consumer=self._consumer, event_id=envelope.id)

    async def _delete_page(
        self, unit: UnitOfWork, contributor_id: ContributorId, gallery_id: GalleryId, *, at: datetime
    ) -> int:
        owner_id, held = await hold_items_of(unit.connection, contributor_id, gallery_id, limit=PAGE)
        if held:
            tombstones = await delete_held(unit.connection, held, owner_id=owner_id, now=at)
            await publish_each(
                unit.connection,
                [
                    (
                        _deletion(
                            self._outbox,
                            media_id,
                            gallery_id,
                            at,
                            owner_id=owner_id,
                            traceparent=one.traceparent,
                        ),
                        one.sequence,
                    )
                    for media_id, one in tombstones.items()
                ],
            )
            unit.published = True
        return len(held)


async def publish_ended(
    outbox: Outbox, unit: UnitOfWork, media_ids: Sequence[UUID], *, gallery_id: GalleryId, at: datetime
) -> None:
    """Publish that uploads were aborted, so that the janitor removes bytes that arrived or still arrive."""
    if media_ids:
        rows = [_deletion(outbox, media_id, gallery_id, at) for media_id in media_ids]
        await publish_all(unit.connection, rows, sequence=FIRST_SEQUENCE)
        unit.published = True


def contribution_refusal(answer: NotTaken | ContributionLimitReached) -> Problem:
    """Returns the problem: ContributionsClosed, ContributorKeyWrong (it was removed),
    ContributionLimitExceeded, ReservationBudgetExceeded.
    """
    if isinstance(answer, NotTaken):
        return ContributionsClosed() if answer is NotTaken.CLOSED else ContributorKeyWrong()
    metrics.CONTRIBUTIONS_REFUSED.labels(answer.whose).inc()
    if answer.whose in _PENDING:
        return _too_much_pending(answer)
    whose = "one contributor" if answer.whose == "contributor" else "all contributors of the gallery together"
    return ContributionLimitExceeded(
        f"At most {answer.limit.files} files of {answer.limit.bytes} bytes are taken from {whose}; "
        f"{answer.held.files} files of {answer.held.bytes} bytes are there or pending."
    )


def _too_much_pending(answer: ContributionLimitReached) -> ReservationBudgetExceeded:
    allowed = f"at most {answer.limit.files} files of {answer.limit.bytes} bytes may be"
    return ReservationBudgetExceeded(
        f"{answer.held.files} files of {answer.held.bytes} bytes of contributors are not completed for "
        f"{_PENDING[answer.whose]}; {allowed}. Complete or abort some, or declare fewer at once.",
        # Waiting does not help a batch that is too large by itself.
        retry_after_s=None if answer.is_too_large else PENDING_RETRY_AFTER_S,
    )


def _deletion(
    outbox: Outbox,
    media_id: UUID,
    gallery_id: GalleryId,
    at: datetime,
    *,
    owner_id: UUID | None = None,
    traceparent: str | None = None,
) -> OutboxRow:
    return outbox.row(
        MediaDeleted(
            media_id=media_id, gallery_id=gallery_id, reason="requested", deleted_at=at, owner_id=owner_id
        ),
        traceparent=traceparent,
    )
