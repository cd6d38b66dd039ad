"""Suspending accounts and taking galleries down, and undoing both. Each decision is published and logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import AccountSuspensionChanged, GalleryTakedownChanged

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, AccountId
from kappi_identity.domain.moderation import Takedown, TakedownId
from kappi_identity.errors import AccountNotFound, AdminNotSuspendable, TakedownNotFound
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.resets import ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.repository.takedowns import TakedownRows

_log = get_logger(__name__)


class Moderation:
    """Administrators' decisions against misuse. by: the administrator's account."""

    def __init__(self, *, outbox: Outbox, clock: Clock, new_id: NewId) -> None:
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id

    async def suspend(self, account_id: UUID, *, reason: str, by: AccountId) -> Account:
        """End every login of the account and allow no new one. Repeating it only changes the reason.

        Raises AccountNotFound, AdminNotSuspendable.
        """
        now = self._clock()
        async with self._outbox.begin() as unit:
            rows = AccountRows(unit.connection)
            account = await self._lock(rows, account_id)
            if account.role == "admin":
                raise AdminNotSuspendable("Take the role away first.")
            suspended = replace(account, suspended_at=account.suspended_at or now, suspension_reason=reason)
            if account.suspended_at is None:
                suspended = replace(suspended, version=account.version + 1)
                await self._tell(unit, suspended)
            await rows.set_suspension(suspended)
            await SessionRows(unit.connection).revoke_all(account.id, now=now)
            await ResetRows(unit.connection).remove_all(account.id)
        metrics.MODERATED.labels("account_suspended").inc()
        _log.info("account.suspended", account_id=str(account_id), by=str(by), reason=reason)
        return suspended

    async def reinstate(self, account_id: UUID, *, by: AccountId) -> Account:
        """Allow logins again. Repeating it has no further effect. Raises AccountNotFound."""
        async with self._outbox.begin() as unit:
            rows = AccountRows(unit.connection)
            account = await self._lock(rows, account_id)
            if account.suspended_at is None:
                return account
            reinstated = replace(
                account, suspended_at=None, suspension_reason=None, version=account.version + 1
            )
            await rows.set_suspension(reinstated)
            await self._tell(unit, reinstated)
        metrics.MODERATED.labels("account_reinstated").inc()
        _log.info("account.reinstated", account_id=str(account_id), by=str(by))
        return reinstated

    async def take_down(self, gallery: str, *, reason: str, by: AccountId) -> Takedown:
        """Take a gallery down. gallery: an id or a code; the galleries service finds out whether it
        exists.
        """
        async with self._outbox.begin() as unit:
            takedown = await self._take_down_within(unit, gallery, reason=reason, by=by)
        return self._taken_down(takedown)

    async def take_down_once(
        self,
        call: IdempotentCall,
        gallery: str,
        *,
        reason: str,
        by: AccountId,
        render: Callable[[Takedown], StoredAnswer],
    ) -> StoredAnswer:
        """Returns the rendered answer, or the answer stored before. Raises IdempotencyKeyReused."""
        async with self._outbox.begin() as unit:
            stored = await call.begin(unit.connection)
            if stored is not None:
                return stored
            takedown = await self._take_down_within(unit, gallery, reason=reason, by=by)
            answer = render(takedown)
            await call.store(unit.connection, answer)
        self._taken_down(takedown)
        return answer

    async def lift(self, takedown_id: UUID, *, by: AccountId) -> Takedown:
        """Show the gallery again. Repeating it has no further effect. Raises TakedownNotFound."""
        now = self._clock()
        async with self._outbox.begin() as unit:
            rows = TakedownRows(unit.connection)
            takedown = await rows.lock(takedown_id)
            if takedown is None:
                raise TakedownNotFound
            if takedown.lifted_at is not None:
                return takedown
            lifted = replace(takedown, lifted_at=now, lifted_by=by)
            await rows.lift(takedown.id, by=by, at=now)
            await unit.publish(_told(lifted), sequence=2)
        metrics.MODERATED.labels("takedown_lifted").inc()
        _log.info("takedown.lifted", takedown_id=str(takedown_id), by=str(by))
        return lifted

    async def _take_down_within(
        self, unit: UnitOfWork, gallery: str, *, reason: str, by: AccountId
    ) -> Takedown:
        takedown = Takedown(
            id=TakedownId(self._new_id()),
            gallery=gallery,
            reason=reason,
            ordered_by=by,
            ordered_at=self._clock(),
            lifted_by=None,
            lifted_at=None,
        )
        await TakedownRows(unit.connection).insert(takedown)
        await unit.publish(_told(takedown), sequence=1)
        return takedown

    def _taken_down(self, takedown: Takedown) -> Takedown:
        metrics.MODERATED.labels("gallery_taken_down").inc()
        _log.info(
            "gallery.taken_down",
            takedown_id=str(takedown.id),
            by=str(takedown.ordered_by),
            reason=takedown.reason,
        )
        return takedown

    async def _lock(self, rows: AccountRows, account_id: UUID) -> Account:
        found = await rows.lock(account_id)
        if found is None:
            raise AccountNotFound
        return found.account

    async def _tell(self, unit: UnitOfWork, account: Account) -> None:
        event = AccountSuspensionChanged(
            account_id=account.id, suspended=account.suspended_at is not None, changed_at=self._clock()
        )
        await unit.publish(event, sequence=account.version)


def _told(takedown: Takedown) -> GalleryTakedownChanged:
    return GalleryTakedownChanged(
        takedown_id=takedown.id,
        gallery=takedown.gallery,
        reason=takedown.reason,
        lifted=takedown.lifted_at is not None,
        changed_at=takedown.lifted_at or takedown.ordered_at,
    )
