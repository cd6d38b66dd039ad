"""Finds the tier whose rules apply to a gallery: its owner's tier, for all callers."""

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
"""The time an answer is cached. An event reaches one replica only, so the others must read again by
themselves.
"""
KEPT_OWNERS = 10_000


class GoverningTier:
    """Returns the rules for an owner. It is called on every request, so it answers from memory and reads the
    database only when the cached answer is older than `FRESH`.
    """

    def __init__(self, tiers: TierQueries, *, clock: Clock) -> None:
        self._tiers = tiers
        self._clock = clock
        self._kept: dict[AccountId | None, tuple[TierRules, datetime]] = {}
        self._reading: SingleFlight[AccountId | None, TierRules] = SingleFlight()

    async def __call__(self, owner_id: AccountId | None) -> TierRules:
        """Returns the rules. owner_id: of the gallery; None for an anonymous one."""
        known = self._kept.get(owner_id)
        # A clock that was set back must not keep an answer for ever.
        if known is not None and abs(self._clock() - known[1]) < FRESH:
            return known[0]
        return await self._reading(owner_id, lambda: self._read(owner_id))

    async def of(self, grant: Grant) -> TierRules:
        """Returns the rules for the gallery of a grant."""
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
