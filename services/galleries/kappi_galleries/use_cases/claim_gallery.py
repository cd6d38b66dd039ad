"""Taking an anonymous gallery into an account.

The account must have room for the gallery's content. The media service knows the room and is asked to reserve
it between two transactions. A reservation that no claim follows is released there after some time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.auth.accounts import AccessTokenInvalid
from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_galleries import metrics
from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.errors import GalleryNotFound
from kappi_galleries.media_client import ClaimRoom
from kappi_galleries.repository.accounts import AccountRows
from kappi_galleries.repository.galleries import GalleryRows
from kappi_galleries.use_cases.access import key_hash_of, matching
from kappi_galleries.use_cases.store_change import store_change


class _RoomNeeded(Exception):
    """The gallery may be claimed once there is room for it."""


class ClaimGallery:
    """Gives an anonymous gallery an owner and removes its deadline; its access key then opens nothing."""

    def __init__(self, *, outbox: Outbox, room: ClaimRoom, clock: Clock) -> None:
        self._outbox = outbox
        self._room = room
        self._clock = clock

    async def __call__(
        self,
        gallery_id: UUID,
        *,
        account_id: UUID,
        access_key: str,
        accept_tier: bool,
        call: IdempotentCall | None,
        render: Callable[[Gallery], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered gallery. Claiming a gallery that the account already owns succeeds: the first
        answer may have been lost.

        Raises AccessTokenInvalid for an account that was deleted or is suspended, GalleryKeyWrong,
        GalleryNotFound, IdempotencyKeyReused, and what `ClaimRoom` does.
        """

        async def look(unit: UnitOfWork) -> StoredAnswer:
            found = await self._find(unit, gallery_id, account_id, access_key)
            if found.owner_id is None:
                raise _RoomNeeded
            return render(found)

        async def act(unit: UnitOfWork) -> StoredAnswer:
            found = await self._find(unit, gallery_id, account_id, access_key)
            return render(found if found.owner_id is not None else await self._give(unit, found, account_id))

        try:
            return await answer_once(self._outbox, call, look)
        except _RoomNeeded:
            await self._room.reserve(gallery_id, account_id, accept_tier=accept_tier)
        return await answer_once(self._outbox, call, act)

    async def _find(self, unit: UnitOfWork, gallery_id: UUID, account_id: UUID, access_key: str) -> Gallery:
        """Returns the gallery, locked: the account's own, or one it may claim."""
        if not await AccountRows(unit.connection).admit(account_id):
            raise AccessTokenInvalid
        rows = GalleryRows(unit.connection)
        # The row's lock decides between this claim and an expiry or another claim with the same key.
        found = await rows.lock_by_access_key(key_hash_of(access_key))
        if found is None:
            own = await rows.lock_by_owner(gallery_id, account_id)
            if own is not None and own.deleted_at is None:
                return own
        found = matching(found, gallery_id)
        if found.is_gone(self._clock()):
            raise GalleryNotFound
        return found

    async def _give(self, unit: UnitOfWork, gallery: Gallery, account_id: UUID) -> Gallery:
        claimed = replace(gallery, owner_id=account_id, expires_at=None)
        claimed = await store_change(unit, claimed, now=self._clock(), secrets={"access_key_hash": None})
        metrics.CLAIMED.inc()
        return claimed
