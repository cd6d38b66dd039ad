"""The effects of the identity service's events: the newest event about a tier or an account counts."""

from __future__ import annotations

from kappi_chassis.outbox import UnitOfWork
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import AccountCreated, AccountDeleted, AccountTierChanged, TierChanged

from kappi_media.domain.media import AccountId
from kappi_media.domain.tiers import TierRules
from kappi_media.repository.tiers import keep_account_tier, keep_tier, tombstone_account


async def note_tier(unit: UnitOfWork, envelope: Envelope[TierChanged]) -> None:
    """The inbox effect of TierChanged. The rules of a deleted tier apply until its last accounts have
    moved.
    """
    event = envelope.data
    rules = TierRules(
        name=event.name,
        rendition_sizes=tuple(event.rendition_sizes),
        original_access=event.original_access,
        expiring_links=event.expiring_links,
        max_file_bytes=event.max_file_bytes,
        quota_bytes=event.quota_bytes,
    )
    await keep_tier(unit.connection, rules, sequence=envelope.sequence)


async def note_account_tier(
    unit: UnitOfWork, envelope: Envelope[AccountCreated] | Envelope[AccountTierChanged]
) -> None:
    """The inbox effect of AccountCreated and AccountTierChanged."""
    event = envelope.data
    await keep_account_tier(
        unit.connection, AccountId(event.account_id), tier=event.tier, sequence=envelope.sequence
    )


async def note_account_deletion(unit: UnitOfWork, envelope: Envelope[AccountDeleted]) -> None:
    """The inbox effect of AccountDeleted. The galleries service deletes the galleries, with one event
    each.
    """
    event = envelope.data
    await tombstone_account(
        unit.connection, AccountId(event.account_id), at=event.deleted_at, sequence=envelope.sequence
    )
