"""The use cases of tiers. Names are found in any case, and every change is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import AccountTierChanged
from kappi_contracts.tiers import ANONYMOUS_TIER, TierRules

from kappi_identity.domain.accounts import Account
from kappi_identity.domain.tiers import Tier
from kappi_identity.errors import (
    AccountNotFound,
    TierInUse,
    TierNotForAccounts,
    TierNotFound,
    TierProtected,
    TierTaken,
)
from kappi_identity.events import tier_changed
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.tiers import TierRows

RuleChange = Callable[[TierRules], TierRules]


class TierUseCase:
    """Base of the use cases of tiers."""

    def __init__(self, *, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock

    async def _lock(self, rows: TierRows, name: str) -> Tier:
        tier = await rows.lock(name)
        if tier is None or tier.deleted_at is not None:
            raise TierNotFound
        return tier

    async def _publish(self, unit: UnitOfWork, tier: Tier) -> None:
        await unit.publish(tier_changed(tier, now=self._clock()), sequence=tier.version)


class CreateTier(TierUseCase):
    """Creates tiers.

    The name of a deleted tier may be used again. The tier then has its old spelling and continues its
    version, because services with a copy of the tiers apply only newer versions.
    """

    async def __call__(self, name: str, rules: TierRules) -> Tier:
        """Create a tier. Raises TierTaken."""
        async with self._outbox.begin() as unit:
            return await self._create_within(unit, name, rules)

    async def idempotently(
        self,
        name: str,
        rules: TierRules,
        call: IdempotentCall | None,
        *,
        render: Callable[[Tier], StoredAnswer],
    ) -> StoredAnswer:
        """As calling it, once per Idempotency-Key. Returns the rendered tier, or the answer stored before.

        Also raises IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._create_within(unit, name, rules))

        return await answer_once(self._outbox, call, act)

    async def _create_within(self, unit: UnitOfWork, name: str, rules: TierRules) -> Tier:
        rows = TierRows(unit.connection)
        tier = Tier(name=name, rules=rules, version=1, deleted_at=None)
        if not await rows.insert(tier):
            known = await rows.lock(name)
            if known is None or known.deleted_at is None:
                raise TierTaken("Names that differ in case only are one.")
            tier = replace(known, rules=rules, version=known.version + 1, deleted_at=None)
            await rows.update(tier)
        await self._publish(unit, tier)
        return tier


class ChangeTier(TierUseCase):
    """Changes the rules of a tier."""

    async def __call__(self, name: str, change: RuleChange) -> Tier:
        """Returns the tier after the change. Nothing is written when nothing differs. Raises TierNotFound."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            tier = await self._lock(rows, name)
            rules = change(tier.rules)
            if rules == tier.rules:
                return tier
            changed = replace(tier, rules=rules, version=tier.version + 1)
            await rows.update(changed)
            await self._publish(unit, changed)
        return changed


class DeleteTier(TierUseCase):
    """Deletes tiers. sign_up_tier: the tier of new accounts, in any case; it cannot be deleted."""

    def __init__(self, *, outbox: Outbox, sign_up_tier: str, clock: Clock) -> None:
        super().__init__(outbox=outbox, clock=clock)
        self._sign_up_tier = sign_up_tier

    async def __call__(self, name: str) -> None:
        """Delete the tier. Raises TierNotFound, TierProtected, TierInUse."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            tier = await self._lock(rows, name)
            if tier.is_protected or tier.name.lower() == self._sign_up_tier.lower():
                raise TierProtected("Its rules can be changed instead.")
            if await AccountRows(unit.connection).any_of_tier(tier.name):
                raise TierInUse("Move its accounts to another tier first.")
            deleted = replace(tier, version=tier.version + 1, deleted_at=self._clock())
            await rows.update(deleted)
            await self._publish(unit, deleted)


class SetTier(TierUseCase):
    """Gives an account another tier."""

    async def __call__(self, account_id: UUID, tier_name: str) -> Account:
        """Returns the account after the change. Raises AccountNotFound, TierNotFound, TierNotForAccounts."""
        async with self._outbox.begin() as unit:
            # Under a shared lock, so that the tier is not deleted in the meantime.
            tier = await TierRows(unit.connection).hold(tier_name)
            if tier is None or tier.deleted_at is not None:
                raise TierNotFound
            if tier.name == ANONYMOUS_TIER:
                raise TierNotForAccounts("It is for galleries without an account.")
            rows = AccountRows(unit.connection)
            found = await rows.lock(account_id)
            if found is None:
                raise AccountNotFound
            if found.account.tier == tier.name:
                return found.account
            moved = replace(found.account, tier=tier.name, version=found.account.version + 1)
            await rows.set_tier(moved.id, moved.tier, version=moved.version)
            event = AccountTierChanged(account_id=moved.id, tier=moved.tier, changed_at=self._clock())
            await unit.publish(event, sequence=moved.version)
        return moved


class AnnounceTiers(TierUseCase):
    """Publishes the tiers that a migration added. Repeating it has no further effect."""

    async def __call__(self) -> int:
        """Returns how many tiers were published."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            unannounced = await rows.lock_unannounced()
            for tier in unannounced:
                await self._publish(unit, tier)
            await rows.mark_announced()
        return len(unannounced)
