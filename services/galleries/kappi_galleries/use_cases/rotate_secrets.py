"""Replaces a code or an access key that has leaked. The old secret stops working with the commit."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain.credentials import CodeScheme, new_access_key
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.use_cases.access import Manager, key_hash_of, lock_managed
from kappi_galleries.use_cases.code_allocation import with_new_code
from kappi_galleries.use_cases.store_change import store_change


class RotateCode:
    """Gives a gallery a new code. The old code is never assigned again."""

    def __init__(self, *, outbox: Outbox, codes: CodeScheme, clock: Clock) -> None:
        self._outbox = outbox
        self._codes = codes
        self._clock = clock

    async def __call__(
        self,
        gallery_id: UUID,
        manager: Manager,
        *,
        call: IdempotentCall | None,
        render: Callable[[Gallery], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered gallery, or the answer stored before.

        Raises GalleryKeyWrong, GalleryNotFound, TooManyCodes, CodesExhausted, IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            rows, now = GalleryRows(unit.connection), self._clock()
            gallery = await lock_managed(rows, gallery_id, manager, now=now)
            changed = await with_new_code(gallery, rows, self._codes, now=now)
            stored = await store_change(unit, changed, now=now)
            metrics.ROTATED.labels("code").inc()
            return render(stored)

        return await answer_once(self._outbox, call, act)


class RotateAccessKey:
    """Gives an anonymous gallery a new access key."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def __call__(
        self,
        gallery_id: UUID,
        access_key: str,
        *,
        call: IdempotentCall | None,
        render: Callable[[str], StoredAnswer],
    ) -> StoredAnswer:
        """Replace the access key. The old key is needed, so only an anonymous gallery's key can be replaced.

        A client that loses the answer has neither key any more, unless it sent an `Idempotency-Key`. render:
        receives the only copy of the new key. Raises GalleryKeyWrong, GalleryNotFound, IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            rows, now = GalleryRows(unit.connection), self._clock()
            gallery = await lock_managed(rows, gallery_id, Manager(access_key=access_key), now=now)
            new = new_access_key()
            await store_change(unit, gallery, now=now, secrets={"access_key_hash": key_hash_of(new)})
            metrics.ROTATED.labels("access_key").inc()
            return render(new)

        return await answer_once(self._outbox, call, act)
