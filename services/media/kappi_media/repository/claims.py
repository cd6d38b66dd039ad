"""Reserves quota of an account for an anonymous gallery that it claims.

The galleries service assigns the gallery to the account, and requests the reservation first. The reservation
is the sum of what the gallery holds. Until it ends, no uploads are reserved in the gallery, so that it cannot
grow. It ends when the gallery becomes the account's (`adopt`), is deleted, or the reservation expires. Locks
are taken in the order that `ownership` describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, GalleryId
from kappi_media.domain.tiers import TierRules
from kappi_media.models.account import accounts
from kappi_media.models.gallery import contents
from kappi_media.models.item import items
from kappi_media.models.upload import uploads
from kappi_media.repository.ownership import end_claim, held_by


class ClaimState(Enum):
    """The state of a gallery for an account that claims it."""

    FREE = auto()
    OWN = auto()
    GONE = auto()
    ANOTHERS = auto()
    BEING_CLAIMED = auto()
    """Another account is claiming it now."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The sizes of what a gallery holds, pending uploads included. largest_bytes: of one file."""

    size_bytes: int
    largest_bytes: int


async def hold_for_claim(
    connection: AsyncConnection, gallery_id: GalleryId, *, account_id: AccountId, now: datetime
) -> ClaimState:
    """Lock the gallery, which may have no row yet: nothing is reserved or completed in it until the
    commit.
    """
    await connection.execute(insert(contents).values(gallery_id=gallery_id).on_conflict_do_nothing())
    found = await connection.execute(
        select(contents.c.owner_id, contents.c.deleted_at, contents.c.claimant_id, contents.c.claim_until)
        .where(contents.c.gallery_id == gallery_id)
        .with_for_update()
    )
    row = found.one()
    if row.deleted_at is not None:
        return ClaimState.GONE
    if row.owner_id is not None:
        return ClaimState.OWN if row.owner_id == account_id else ClaimState.ANOTHERS
    if row.claimant_id not in (None, account_id) and now < row.claim_until:
        return ClaimState.BEING_CLAIMED
    return ClaimState.FREE


async def holdings(connection: AsyncConnection, gallery_id: GalleryId) -> Holdings:
    """Returns what the gallery holds; exact while the gallery is locked."""
    held = await held_by(connection, gallery_id)
    largest_item = select(func.max(items.c.size_bytes)).where(
        items.c.gallery_id == gallery_id, items.c.status != "rejected"
    )
    largest_upload = select(func.max(uploads.c.size_bytes)).where(
        uploads.c.gallery_id == gallery_id, uploads.c.state == "pending"
    )
    largest = await connection.scalar(
        select(func.greatest(largest_item.scalar_subquery(), largest_upload.scalar_subquery()))
    )
    return Holdings(held.reserved_bytes + held.used_bytes, largest or 0)


async def reserve(
    connection: AsyncConnection,
    gallery_id: GalleryId,
    *,
    account_id: AccountId,
    size_bytes: int,
    rules: TierRules,
    until: datetime,
) -> bool:
    """Charge the account for a locked gallery, in place of an earlier reservation for it.

    Returns False when the quota is exceeded; then the transaction must not be committed.
    """
    await connection.execute(insert(accounts).values(id=account_id).on_conflict_do_nothing())
    # An earlier reservation may be another account's: both rows are locked in the common order.
    earlier = select(contents.c.claimant_id).where(contents.c.gallery_id == gallery_id).scalar_subquery()
    await connection.execute(
        select(accounts.c.id)
        .where(or_(accounts.c.id == account_id, accounts.c.id == earlier))
        .order_by(accounts.c.id)
        .with_for_update()
    )
    await end_claim(connection, gallery_id)
    charged = update(accounts).where(accounts.c.id == account_id)
    if rules.quota_bytes is not None:
        charged = charged.where(
            accounts.c.reserved_bytes + accounts.c.used_bytes + size_bytes <= rules.quota_bytes
        )
    done = await connection.execute(
        charged.values(reserved_bytes=accounts.c.reserved_bytes + size_bytes).returning(accounts.c.id)
    )
    if done.first() is None:
        return False
    await connection.execute(
        update(contents)
        .where(contents.c.gallery_id == gallery_id)
        .values(claimant_id=account_id, claim_bytes=size_bytes, claim_until=until)
    )
    return True


async def end_overdue(connection: AsyncConnection, *, before: datetime) -> bool:
    """Release one reservation that has expired. Returns False when there is none."""
    found = await connection.execute(
        select(contents.c.gallery_id)
        .where(contents.c.claim_until < before)
        .order_by(contents.c.claim_until)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    gallery_id = found.scalar()
    if gallery_id is not None:
        await end_claim(connection, GalleryId(gallery_id))
    return gallery_id is not None
