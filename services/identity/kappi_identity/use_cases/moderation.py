"""Suspending accounts and taking galleries down, and undoing both. Each decision is published and logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.clock import Clock, NewId
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.outbox import Outbox, UnitOfWork

from kappi_identity import metrics
from kappi_identity.domain.accounts import Account, AccountId
from kappi_identity.domain.moderation import Takedown, TakedownId
from kappi_identity.errors import AccountNotFound, AdminNotSuspendable, TakedownNotFound
from kappi_identity.events import suspension_changed, takedown_changed
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.resets import ResetRows
from kappi_identity.repository.sessions import SessionRows
from kappi_identity.repository.takedowns import TakedownRows
from kappi_identity.repository.webhooks import WebhookRows

_log = get_logger(__name__)


class ModerationUseCase:
    """Base of the use cases by which administrators act against misuse."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def _lock(self, rows: AccountRows, account_id: UUID) -> Account:
        found = await rows.lock(account_id)
        if found is None:
            raise AccountNotFound
        return found.account


class SuspendAccount(ModerationUseCase):
    """Ends every login of an account and allows no new one. Its webhooks are not called any more."""

    async def __call__(self, account_id: UUID, *, reason: str, by: AccountId) -> Account:
        """Returns the account after the change. Repeating it only changes the reason.

        by: the administrator's account. Raises AccountNotFound, AdminNotSuspendable.
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
                await unit.publish(suspension_changed(suspended, now=now), sequence=suspended.version)
            await rows.set_suspension(suspended)
            await SessionRows(unit.connection).revoke_all(account.id, now=now)
            await ResetRows(unit.connection).remove_all(account.id)
            await WebhookRows(unit.connection).stop_all(account.id)
        metrics.MODERATED.labels("account_suspended").inc()
        _log.info("account.suspended", account_id=str(account_id), by=str(by), reason=reason)
        return suspended


class ReinstateAccount(ModerationUseCase):
    """Allows a suspended account to log in again."""

    async def __call__(self, account_id: UUID, *, by: AccountId) -> Account:
        """Returns the account after the change. Repeating it has no effect. Raises AccountNotFound."""
        async with self._outbox.begin() as unit:
            rows = AccountRows(unit.connection)
            account = await self._lock(rows, account_id)
            if account.suspended_at is None:
                return account
            reinstated = replace(
                account, suspended_at=None, suspension_reason=None, version=account.version + 1
            )
            await rows.set_suspension(reinstated)
            event = suspension_changed(reinstated, now=self._clock())
            await unit.publish(event, sequence=reinstated.version)
        metrics.MODERATED.labels("account_reinstated").inc()
        _log.info("account.reinstated", account_id=str(account_id), by=str(by))
        return reinstated


class TakeGalleryDown(ModerationUseCase):
    """Takes a gallery down. gallery: an id or a code; the galleries service finds out whether it exists."""

    def __init__(self, *, outbox: Outbox, clock: Clock, new_id: NewId) -> None:
        super().__init__(outbox=outbox, clock=clock)
        self._new_id = new_id

    async def __call__(self, gallery: str, *, reason: str, by: AccountId) -> Takedown:
        async with self._outbox.begin() as unit:
            return await self._take_down_within(unit, gallery, reason=reason, by=by)

    async def idempotently(
        self,
        gallery: str,
        call: IdempotentCall | None,
        *,
        reason: str,
        by: AccountId,
        render: Callable[[Takedown], StoredAnswer],
    ) -> StoredAnswer:
        """As calling it, once per Idempotency-Key. Returns the rendered answer, or the one stored before.

        Raises IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._take_down_within(unit, gallery, reason=reason, by=by))

        return await answer_once(self._outbox, call, act)

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
        await unit.publish(takedown_changed(takedown), sequence=1)
        metrics.MODERATED.labels("gallery_taken_down").inc()
        _log.info("gallery.taken_down", takedown_id=str(takedown.id), by=str(by), reason=reason)
        return takedown


class LiftTakedown(ModerationUseCase):
    """Lifts the decision that took a gallery down."""

    async def __call__(self, takedown_id: UUID, *, by: AccountId) -> Takedown:
        """Returns the lifted takedown. Repeating it has no further effect. Raises TakedownNotFound."""
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
            await unit.publish(takedown_changed(lifted), sequence=2)
        metrics.MODERATED.labels("takedown_lifted").inc()
        _log.info("takedown.lifted", takedown_id=str(takedown_id), by=str(by))
        return lifted
