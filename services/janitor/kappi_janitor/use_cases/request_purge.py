"""Requests purges after the owners of prefixes published that they are deleted or unused.

Each class is an effect for `inbox.once_together`: events and their purges are recorded in one transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kappi_chassis.bus import Poison
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.outbox import BatchUnit
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryDeleted, MediaDeleted, MediaRejected, ObjectsUnused, PostDeleted
from kappi_contracts.keys import folder_prefix, gallery_prefix, media_prefix, post_prefix

from kappi_janitor.domain import GalleryScope, PostScope, Scope, check_purged_prefix
from kappi_janitor.repository import due_galleries, purges


class _RequestPurges(ABC):
    """Adds a purge to the ledger for each event."""

    def __init__(self, *, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, unit: BatchUnit, envelopes: Sequence[Envelope[Any]]) -> None:
        """Raises Poison for a prefix that must not be purged."""
        now = self._clock()
        requests = [
            purges.PurgeRequest(
                id=self._new_id(),
                scope=self._checked(each.data),
                not_before=self._not_before(each.data) or now,
                traceparent=each.traceparent,
            )
            for each in envelopes
        ]
        await purges.request_purge(unit.driver, requests, now=now)

    def _checked(self, event: Any) -> Scope:
        scope = self._scope(event)
        try:
            check_purged_prefix(scope.prefix)
        except ValueError as error:
            raise Poison(str(error)) from error
        return scope

    @abstractmethod
    def _scope(self, event: Any) -> Scope: ...

    def _not_before(self, event: Any) -> datetime | None:
        """Returns when the first sweep is due; None for now."""
        return None


class PurgeDeletedGallery(_RequestPurges):
    """The effect of GalleryDeleted."""

    async def __call__(self, unit: BatchUnit, envelopes: Sequence[Envelope[GalleryDeleted]]) -> None:
        # Every transaction locks the ledger's rows before the galleries'. The other order could deadlock.
        await super().__call__(unit, envelopes)
        deletions = [
            due_galleries.Deletion(each.data.gallery_id, each.data.deleted_at, each.sequence)
            for each in envelopes
        ]
        await due_galleries.record_deletions(unit.driver, deletions)

    def _scope(self, event: GalleryDeleted) -> Scope:
        prefix = gallery_prefix(event.gallery_id)
        return GalleryScope(gallery_id=event.gallery_id, media_id=None, prefix=prefix)


class PurgeDeletedMedia(_RequestPurges):
    """The effect of MediaDeleted and MediaRejected."""

    async def __call__(
        self, unit: BatchUnit, envelopes: Sequence[Envelope[MediaDeleted] | Envelope[MediaRejected]]
    ) -> None:
        await super().__call__(unit, envelopes)
        # No page shows a deleted item, so the folders that it left need not be kept.
        media_ids = [each.data.media_id for each in envelopes]
        await purges.expedite_items(unit.driver, media_ids, now=self._clock())

    def _scope(self, event: MediaDeleted | MediaRejected) -> Scope:
        prefix = media_prefix(event.gallery_id, event.media_id)
        return GalleryScope(gallery_id=event.gallery_id, media_id=event.media_id, prefix=prefix)


class PurgeDeletedPost(_RequestPurges):
    """The effect of PostDeleted."""

    def _scope(self, event: PostDeleted) -> Scope:
        return PostScope(post_id=event.post_id, prefix=post_prefix(event.post_id))


class PurgeUnusedFolder(_RequestPurges):
    """The effect of ObjectsUnused. A folder is never used again, so no waiting purge is cancelled."""

    def _scope(self, event: ObjectsUnused) -> Scope:
        prefix = folder_prefix(event.gallery_id, event.media_id, event.folder)
        return GalleryScope(gallery_id=event.gallery_id, media_id=event.media_id, prefix=prefix)

    def _not_before(self, event: ObjectsUnused) -> datetime | None:
        return event.purge_after
