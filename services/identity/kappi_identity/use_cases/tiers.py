"""Creating, changing and deleting tiers, and moving accounts between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from kappi_chassis.clock import Clock
from kappi_chassis.idempotency import IdempotentCall, StoredAnswer, answer_once
from kappi_chassis.outbox import Outbox, UnitOfWork
from kappi_contracts.events import AccountTierChanged, TierChanged
from kappi_contracts.tiers import ANONYMOUS_TIER

from kappi_identity.domain.accounts import Account
from kappi_identity.domain.tiers import Tier, TierRules
from kappi_identity.errors import (
    AccountNotFound,
    TierInUse,
    TierNotForAccounts,
    TierNotFound,
    TierProtected,
    TierTaken,
)
from kappi_identity.repository.accounts import AccountRows
from kappi_identity.repository.tiers import TierQueries, TierRows

RuleChange = Callable[[TierRules], TierRules]


class Tiers:
    """The use cases of tiers. Names are found in any case, and every change is published."""

    def __init__(self, *, outbox: Outbox, queries: TierQueries, sign_up_tier: str, clock: Clock) -> None:
        """sign_up_tier: the tier of new accounts, in any case; it cannot be deleted."""
        self._sign_up_tier = sign_up_tier
        self._outbox = outbox
        self._queries = queries
        self._clock = clock

    async def all(self) -> Sequence[Tier]:
        return await self._queries.all()

    async def find(self, name: str) -> Tier:
        """Returns the tier. Raises TierNotFound."""
        tier = await self._queries.find(name)
        if tier is None:
            raise TierNotFound
        return tier

    async def create(self, name: str, rules: TierRules) -> Tier:
        """Create a tier. Raises TierTaken.

        The name of a deleted tier may be used again. The tier then has its old spelling and continues its
        version, because services with a copy of the tiers apply only newer versions.
        """
        async with self._outbox.begin() as unit:
            return await self._create_within(unit, name, rules)

    async def create_once(
        self, call: IdempotentCall, name: str, rules: TierRules, *, render: Callable[[Tier], StoredAnswer]
    ) -> StoredAnswer:
        """Create a tier and store the rendered answer in one transaction, or return the answer stored before.

        Raises as `create` does, and IdempotencyKeyReused.
        """

        async def act(unit: UnitOfWork) -> StoredAnswer:
            return render(await self._create_within(unit, name, rules))

        return await answer_once(self._outbox, call, act)

    async def change(self, name: str, change: RuleChange) -> Tier:
        """Returns the tier after the change. Nothing is written when nothing differs. Raises TierNotFound."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            tier = await self._living(rows, name)
            rules = change(tier.rules)
            if rules == tier.rules:
                return tier
            changed = replace(tier, rules=rules, version=tier.version + 1)
            await rows.update(changed)
            await self._publish(unit, changed)
        return changed

    async def delete(self, name: str) -> None:
        """Delete the tier. Raises TierNotFound, TierProtected, TierInUse."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            tier = await self._living(rows, name)
            if tier.is_protected or tier.name.lower() == self._sign_up_tier.lower():
                raise TierProtected("Its rules can be changed instead.")
            if await AccountRows(unit.connection).any_of_tier(tier.name):
                raise TierInUse("Move its accounts to another tier first.")
            deleted = replace(tier, version=tier.version + 1, deleted_at=self._clock())
            await rows.update(deleted)
            await self._publish(unit, deleted)

    async def move(self, account_id: UUID, tier_name: str) -> Account:
        """Returns the account after the change. Raises AccountNotFound, TierNotFound, TierNotForAccounts."""
        now = self._clock()
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
            await unit.publish(
                AccountTierChanged(account_id=moved.id, tier=moved.tier, changed_at=now),
                sequence=moved.version,
            )
        return moved

    async def announce(self) -> int:
        """Publish the tiers that a migration added. Returns how many there were. Repeating it is harmless."""
        async with self._outbox.begin() as unit:
            rows = TierRows(unit.connection)
            unannounced = await rows.lock_unannounced()
            for tier in unannounced:
                await self._publish(unit, tier)
            await rows.mark_announced()
        return len(unannounced)

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

    async def _living(self, rows: TierRows, name: str) -> Tier:
        tier = await rows.lock(name)
        if tier is None or tier.deleted_at is not None:
            raise TierNotFound
        return tier

    async def _publish(self, unit: UnitOfWork, tier: Tier) -> None:
        await unit.publish(_changed(tier, at=tier.deleted_at or self._clock()), sequence=tier.version)


def _changed(tier: Tier, *, at: datetime) -> TierChanged:
    return TierChanged(
        name=tier.name,
        rendition_sizes=list(tier.rules.rendition_sizes),
        original_access=tier.rules.original_access,
        expiring_links=tier.rules.expiring_links,
        max_file_bytes=tier.rules.max_file_bytes,
        quota_bytes=tier.rules.quota_bytes,
        deleted=tier.deleted_at is not None,
        changed_at=at,
    )
