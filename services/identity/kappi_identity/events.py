"""Builds the events about tiers and about administrators' decisions."""

from __future__ import annotations

from datetime import datetime

from kappi_contracts.events import AccountSuspensionChanged, GalleryTakedownChanged, TierChanged

from kappi_identity.domain.accounts import Account
from kappi_identity.domain.moderation import Takedown
from kappi_identity.domain.tiers import Tier


def tier_changed(tier: Tier, *, now: datetime) -> TierChanged:
    return TierChanged(
        name=tier.name,
        rendition_sizes=list(tier.rules.rendition_sizes),
        original_access=tier.rules.original_access,
        expiring_links=tier.rules.expiring_links,
        max_file_bytes=tier.rules.max_file_bytes,
        quota_bytes=tier.rules.quota_bytes,
        deleted=tier.deleted_at is not None,
        changed_at=tier.deleted_at or now,
    )


def suspension_changed(account: Account, *, now: datetime) -> AccountSuspensionChanged:
    return AccountSuspensionChanged(
        account_id=account.id, suspended=account.suspended_at is not None, changed_at=now
    )


def takedown_changed(takedown: Takedown) -> GalleryTakedownChanged:
    return GalleryTakedownChanged(
        takedown_id=takedown.id,
        gallery=takedown.gallery,
        reason=takedown.reason,
        lifted=takedown.lifted_at is not None,
        changed_at=takedown.lifted_at or takedown.ordered_at,
    )
