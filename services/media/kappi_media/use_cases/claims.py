"""Reserves quota of an account for an anonymous gallery, before the galleries service assigns the gallery to
it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from kappi_chassis.clock import Clock
from kappi_chassis.outbox import Outbox

from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.domain.tiers import TierRules
from kappi_media.errors import (
    ClaimInProgress,
    FileTooLarge,
    GalleryKeyWrong,
    GalleryNotFound,
    QuotaExceeded,
    TierWithholds,
)
from kappi_media.repository.claims import ClaimState, end_overdue, hold_for_claim, holdings, reserve
from kappi_media.use_cases.governing_tier import GoverningTier

RESERVED_FOR: Final = timedelta(minutes=5)
"""The lifetime of a claim's reservation. It lasts until the galleries service has committed the claim, which
takes milliseconds, and the event of the claim has arrived here. After a crash in between, the gallery accepts
no uploads for this time, or until it is claimed again.
"""


class ReserveClaim:
    def __init__(self, outbox: Outbox, *, tier: GoverningTier, clock: Clock) -> None:
        self._outbox = outbox
        self._tier = tier
        self._clock = clock

    async def __call__(self, gallery_id: GalleryId, account_id: AccountId, *, accept_tier: bool) -> None:
        """Charge the account for the content of the gallery. Repeating it has the effect of once.

        accept_tier: accept a tier with which the gallery's viewers get less. Raises GalleryNotFound
        (deleted), GalleryKeyWrong (another account's), ClaimInProgress, FileTooLarge, QuotaExceeded,
        TierWithholds; in these cases nothing is changed.
        """
        anonymous, rules = await self._tier(None), await self._tier(account_id)
        now = self._clock()
        async with self._outbox.begin() as unit:
            state = await hold_for_claim(unit.connection, gallery_id, account_id=account_id, now=now)
            if state is ClaimState.OWN:
                return
            _check(state)
            held = await holdings(unit.connection, gallery_id)
            if held.largest_bytes > rules.max_file_bytes:
                raise FileTooLarge(
                    f"The gallery has a file of {held.largest_bytes} bytes; the account may have files of "
                    f"{rules.max_file_bytes} bytes."
                )
            if not accept_tier and (withheld := _withheld(anonymous.of_shared, rules.of_shared)):
                raise TierWithholds(
                    f"With the tier {rules.name} its viewers would lose {withheld}. Claim it with "
                    '{"accept_tier": true} if that is meant.'
                )
            if not await reserve(
                unit.connection,
                gallery_id,
                account_id=account_id,
                size_bytes=held.size_bytes,
                rules=rules,
                until=now + RESERVED_FOR,
            ):
                raise QuotaExceeded(
                    f"The gallery holds {held.size_bytes} bytes, pending uploads included. The account may "
                    f"hold {rules.quota_bytes} bytes in all, and has no room for it."
                )


class SweepClaims:
    """Releases the reservations of claims that were not committed."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __call__(self, as_of: datetime) -> None:
        """Release what was due at `as_of`, the tick's instant, not the wall clock."""
        while await self._end_one(as_of):
            pass

    async def _end_one(self, as_of: datetime) -> bool:
        async with self._outbox.begin() as unit:
            return await end_overdue(unit.connection, before=as_of)


def _withheld(before: TierRules, after: TierRules) -> str:
    """Returns in words what viewers would lose; empty when they lose nothing."""
    lost = ["the originals"] if before.original_access and not after.original_access else []
    heights = [height for height in before.rendition_sizes if height not in after.rendition_sizes]
    lost += [f"renditions {height} pixels high" for height in heights]
    return " and ".join(lost)


def _check(state: ClaimState) -> None:
    if state is ClaimState.GONE:
        raise GalleryNotFound
    if state is ClaimState.ANOTHERS:
        raise GalleryKeyWrong("The gallery belongs to an account now.")
    if state is ClaimState.BEING_CLAIMED:
        raise ClaimInProgress("Try again in a moment.", retry_after_s=1)
