"""Adds and removes contributors of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import ContributorRemoved

from kappi_galleries import metrics
from kappi_galleries.domain.contributors import Contributor, ContributorId
from kappi_galleries.domain.credentials import new_access_key
from kappi_galleries.domain.galleries import GalleryId
from kappi_galleries.errors import (
    ContributionsClosed,
    ContributorNotFound,
    GalleryNotFound,
    TooManyContributors,
)
from kappi_galleries.repository.contributors import ContributorRows
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.use_cases.access import Manager, key_hash_of, lock_managed

UNUSED_AFTER: Final = timedelta(days=1)
"""The age from which a contributor without items gives its place to a new one, where all are taken."""


class AddContributor:
    """Adds a contributor to a gallery that is open for contributions. most: contributors of one gallery."""

    def __init__(self, *, outbox: Outbox, most: int, clock: Clock, new_id: NewId) -> None:
        self._outbox = outbox
        self._most = most
        self._clock = clock
        self._new_id = new_id

    async def __call__(
        self,
        gallery_id: UUID,
        name: str | None,
        *,
        call: IdempotentCall | None,
        render: Callable[[Contributor, str], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered contributor, or the answer stored before. render: also receives the only copy
        of the contributor key.

        The caller has shown a grant of the gallery, which may be a minute old; the locked row decides. Raises
        GalleryNotFound, ContributionsClosed, TooManyContributors, IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            now = self._clock()
            gallery = await GalleryRows(unit.connection).lock(gallery_id)
            if gallery is None or not gallery.is_shown(now):
                raise GalleryNotFound
            if gallery.contributions == "closed":
                raise ContributionsClosed
            rows = ContributorRows(unit.connection)
            is_full = await rows.count(gallery.id) >= self._most
            if is_full and not await self._made_room(unit, gallery.id, now):
                metrics.CONTRIBUTORS.labels("refused").inc()
                raise TooManyContributors(f"It has {self._most}. Its manager may remove some.")
            contributor = Contributor(
                id=ContributorId(self._new_id()), gallery_id=gallery.id, name=name, created_at=now
            )
            key = new_access_key()
            await rows.insert(contributor, key_hash=key_hash_of(key))
            metrics.CONTRIBUTORS.labels("added").inc()
            return render(contributor, key)

        return await answer_once(self._outbox, call, act)

    async def _made_room(self, unit: UnitOfWork, gallery_id: GalleryId, now: datetime) -> bool:
        """Removes a contributor that added nothing. Returns False when there is none.

        Keys cost nothing, so the places would otherwise be taken once and for all.
        """
        unused = await ContributorRows(unit.connection).take_unused(gallery_id, before=now - UNUSED_AFTER)
        if unused is None:
            return False
        event = ContributorRemoved(
            contributor_id=unused.id, gallery_id=gallery_id, items_deleted=False, removed_at=now
        )
        await unit.publish(event, sequence=unused.version + 1)
        metrics.CONTRIBUTORS.labels("replaced").inc()
        return True


class RemoveContributor:
    """Removes a contributor as the gallery's manager. Its key is void with the commit."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def keeping_items(self, gallery_id: UUID, contributor_id: UUID, manager: Manager) -> None:
        """Remove the contributor; the items that it added stay. Repeating it has no further effect.

        Raises GalleryKeyWrong, GalleryNotFound, ContributorNotFound.
        """
        async with self._outbox.begin() as unit:
            contributor = await self._find(unit, gallery_id, contributor_id, manager)
            if contributor.removed_at is None:
                await self._remove(unit, contributor, items_deleted=False)

    async def with_items(self, gallery_id: UUID, contributor_id: UUID, manager: Manager) -> None:
        """Remove the contributor and, soon after, the items that it added to this gallery.

        It may have been removed before. Raises as `keeping_items` does.
        """
        async with self._outbox.begin() as unit:
            contributor = await self._find(unit, gallery_id, contributor_id, manager)
            await self._remove(unit, contributor, items_deleted=True)

    async def _find(
        self, unit: UnitOfWork, gallery_id: UUID, contributor_id: UUID, manager: Manager
    ) -> Contributor:
        gallery = await lock_managed(GalleryRows(unit.connection), gallery_id, manager, now=self._clock())
        found = await ContributorRows(unit.connection).find(contributor_id, gallery.id)
        if found is None:
            raise ContributorNotFound
        return found

    async def _remove(self, unit: UnitOfWork, contributor: Contributor, *, items_deleted: bool) -> None:
        now, version = self._clock(), contributor.version + 1
        removed_at = contributor.removed_at or now
        await ContributorRows(unit.connection).remove(contributor.id, removed_at=removed_at, version=version)
        event = ContributorRemoved(
            contributor_id=contributor.id,
            gallery_id=contributor.gallery_id,
            items_deleted=items_deleted,
            removed_at=removed_at,
        )
        await unit.publish(event, sequence=version)
        if contributor.removed_at is None:
            metrics.CONTRIBUTORS.labels("removed").inc()
