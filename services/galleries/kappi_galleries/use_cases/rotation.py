"""Replaces a code or an access key that has leaked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.events import updated
from kappi_galleries.repository.galleries import GalleryRows, Secrets
from kappi_galleries.use_cases.access import Manager, key_hash_of, lock_managed
from kappi_galleries.use_cases.code_allocation import with_new_code


class Rotation:
    """Replaces secrets; the old secret stops working with the commit.

    Every method raises as `access` describes.
    """

    def __init__(
        self, *, outbox: Outbox, codes: CodeScheme, clock: Clock, new_access_key: Callable[[], str]
    ) -> None:
        self._outbox = outbox
        self._codes = codes
        self._clock = clock
        self._new_access_key = new_access_key

    async def rotate_code(
        self,
        gallery_id: UUID,
        manager: Manager,
        *,
        call: IdempotentCall | None,
        render: Callable[[Gallery], StoredAnswer],
    ) -> StoredAnswer:
        """The old code is never handed out again. Raises TooManyCodes, CodesExhausted,
        IdempotencyKeyReused."""

        async def act(unit: UnitOfWork) -> StoredAnswer:
            rows = GalleryRows(unit.connection)
            gallery = await self._lock(rows, gallery_id, manager)
            changed = await with_new_code(gallery, rows, self._codes, now=self._clock())
            changed = await self._write(unit, changed, secrets={})
            metrics.ROTATED.labels("code").inc()
            return render(changed)

        return await answer_once(self._outbox, call, act)

    async def rotate_key(
        self,
        gallery_id: UUID,
        access_key: str,
        *,
        call: IdempotentCall | None,
        render: Callable[[str], StoredAnswer],
    ) -> StoredAnswer:
        """Replace the access key. The old key is needed, so only an anonymous gallery's key can be replaced.

        A client that loses the answer has neither key any more, unless it sent an `Idempotency-Key`. render:
        receives the only copy of the new key. Raises IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            gallery = await self._lock(
                GalleryRows(unit.connection), gallery_id, Manager(access_key=access_key)
            )
            new = self._new_access_key()
            await self._write(unit, gallery, secrets={"access_key_hash": key_hash_of(new)})
            metrics.ROTATED.labels("access_key").inc()
            return render(new)

        return await answer_once(self._outbox, call, act)

    async def _lock(self, rows: GalleryRows, gallery_id: UUID, manager: Manager) -> Gallery:
        gallery = await lock_managed(rows, gallery_id, manager)
        if gallery.is_gone(self._clock()):
            raise GalleryNotFound
        return gallery

    async def _write(self, unit: UnitOfWork, gallery: Gallery, *, secrets: Secrets) -> Gallery:
        changed = replace(gallery, version=gallery.version + 1, updated_at=self._clock())
        await GalleryRows(unit.connection).update(changed, secrets=secrets)
        await unit.publish(updated(changed), sequence=changed.version)
        return changed
