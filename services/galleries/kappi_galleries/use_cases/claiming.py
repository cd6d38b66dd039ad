"""Taking an anonymous gallery into an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain import Gallery
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.use_cases.access import key_hash_of, matching
from kappi_galleries.use_cases.announcing import updated
from kappi_galleries.use_cases.answering import answer_once


class GalleryClaiming:
    """From then on the gallery has an owner and no end, and its access key opens nothing."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def claim(
        self,
        gallery_id: UUID,
        *,
        account_id: UUID,
        access_key: str,
        call: IdempotentCall | None,
        render: Callable[[Gallery], StoredAnswer],
    ) -> StoredAnswer:
        """Claiming what is the account's already is done: the answer to the first time may have been lost.

        Raises AccessTokenInvalid for an account that was deleted, GalleryKeyWrong, GalleryNotFound,
        IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._claim_within(unit, gallery_id, account_id, access_key))

        return await answer_once(self._outbox, call, act)

    async def _claim_within(
        self, unit: UnitOfWork, gallery_id: UUID, account_id: UUID, access_key: str
    ) -> Gallery:
        if not await AccountRows(unit.connection).admit(account_id):
            raise AccessTokenInvalid
        now, rows = self._clock(), GalleryRows(unit.connection)
        # The row's lock decides between this and an expiry, or another claim with the same key.
        found = await rows.lock_by_access_key(key_hash_of(access_key))
        if found is None:
            own = await rows.lock_by_owner(gallery_id, account_id)
            if own is not None and own.deleted_at is None:
                return own
        found = matching(found, gallery_id)
        if found.is_gone(now):
            raise GalleryNotFound
        claimed = replace(
            found, owner_id=account_id, expires_at=None, updated_at=now, version=found.version + 1
        )
        await rows.update(claimed, secrets={"access_key_hash": None})
        await unit.publish(updated(claimed), sequence=claimed.version)
        metrics.CLAIMED.inc()
        return claimed
