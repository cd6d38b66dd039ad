"""Requests a purge after the owner of a prefix published that it is deleted or unused.

Each class is an effect for `inbox.once`: the event and its purge are recorded in one transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kappi_chassis.bus import Poison
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted, MediaDeleted, MediaRejected, ObjectsUnused, PostDeleted
from kappi_contracts.keys import folder_prefix, gallery_prefix, media_prefix, post_prefix

from kappi_janitor.domain import GalleryScope, PostScope, Scope, check_purged_prefix
from kappi_janitor.repository import due_galleries, purges


class _RequestPurge:
    def __init__(self, *, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id

    async def _request(self, unit: UnitOfWork, scope: Scope, *, not_before: datetime | None = None) -> None:
        """Add a purge to the ledger. not_before: None for now.

        Raises Poison for a prefix that must not be purged.
        """
        try:
            check_purged_prefix(scope.prefix)
        except ValueError as error:
            raise Poison(str(error)) from error
        now = self._clock()
        await purges.request_purge(
            unit.connection, purge_id=self._new_id(), scope=scope, now=now, not_before=not_before or now
        )


class PurgeDeletedGallery(_RequestPurge):
    """The effect of GalleryDeleted."""

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        event: GalleryDeleted = envelope.data
        prefix = gallery_prefix(event.gallery_id)
        # Every transaction locks the ledger's row before the gallery's. The other order could deadlock.
        await self._request(unit, GalleryScope(gallery_id=event.gallery_id, media_id=None, prefix=prefix))
        await due_galleries.record_deletion(
            unit.connection,
            gallery_id=event.gallery_id,
            deleted_at=event.deleted_at,
            sequence=envelope.sequence,
        )


class PurgeDeletedMedia(_RequestPurge):
    """The effect of MediaDeleted and MediaRejected."""

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        event: MediaDeleted | MediaRejected = envelope.data
        prefix = media_prefix(event.gallery_id, event.media_id)
        scope = GalleryScope(gallery_id=event.gallery_id, media_id=event.media_id, prefix=prefix)
        await self._request(unit, scope)
        # No page shows a deleted item, so the folders that it left need not be kept.
        await purges.expedite_item(unit.connection, event.media_id, now=self._clock())


class PurgeDeletedPost(_RequestPurge):
    """The effect of PostDeleted."""

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        event: PostDeleted = envelope.data
        await self._request(unit, PostScope(post_id=event.post_id, prefix=post_prefix(event.post_id)))


class PurgeUnusedFolder(_RequestPurge):
    """The effect of ObjectsUnused. A folder is never used again, so no waiting purge is cancelled."""

    async def __call__(self, unit: UnitOfWork, envelope: Envelope[Any]) -> None:
        event: ObjectsUnused = envelope.data
        prefix = folder_prefix(event.gallery_id, event.media_id, event.folder)
        scope = GalleryScope(gallery_id=event.gallery_id, media_id=event.media_id, prefix=prefix)
        await self._request(unit, scope, not_before=event.purge_after)
