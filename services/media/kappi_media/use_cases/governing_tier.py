"""Which tier's rules apply to a gallery: its owner's, for everyone who uses it."""

from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.clock import Clock
from kappi_contracts.grants import Grant
from kappi_contracts.tiers import ANONYMOUS_TIER, DEFAULT_TIER

from kappi_media.domain.media import AccountId
from kappi_media.domain.tiers import TierRules, seeded
from kappi_media.repository.tiers import TierQueries
from kappi_media.single_flight import SingleFlight

FRESH = timedelta(seconds=2)
"""How long an answer is kept. Events reach one replica only, so the others must look again by themselves."""
KEPT_OWNERS = 10_000


class GoverningTier:
    """Asked on every request, so it reads the database once in a while and otherwise its own memory."""

    def __init__(self, tiers: TierQueries, *, clock: Clock) -> None:
        self._tiers = tiers
        self._clock = clock
        self._kept: dict[AccountId | None, tuple[TierRules, datetime]] = {}
        self._reading: SingleFlight[AccountId | None, TierRules] = SingleFlight()

    async def __call__(self, owner_id: AccountId | None) -> TierRules:
        """owner_id: of the gallery; None for an anonymous one."""
        known = self._kept.get(owner_id)
        # A clock that was set back must not keep an answer for ever.
        if known is not None and abs(self._clock() - known[1]) < FRESH:
            return known[0]
        return await self._reading(owner_id, lambda: self._read(owner_id))

    async def of(self, grant: Grant) -> TierRules:
        """The rules for what a grant opens."""
        rules = await self(AccountId(grant.owner_id) if grant.owner_id is not None else None)
        return rules.of_shared if grant.gallery.visibility == "shared" else rules

    async def _read(self, owner_id: AccountId | None) -> TierRules:
        now = self._clock()
        otherwise = ANONYMOUS_TIER if owner_id is None else DEFAULT_TIER
        found = await self._tiers.governing(owner_id, otherwise=otherwise)
        rules = found.rules or seeded(found.tier)
        if len(self._kept) >= KEPT_OWNERS:
            self._kept.clear()
        self._kept[owner_id] = (rules, now)
        return rules
