"""Records the owner of a gallery, and what an account is charged for.

An account is charged for the declared size of every pending upload and the size of every item that is not
rejected, in all galleries it owns, for the pictures of its posts, and for what a gallery holds that it is
claiming (`repository.claims`). A transaction that changes one of these changes the account's row in the same
transaction. Locks are taken in one order: contents (by id), uploads, items and pictures of posts, accounts
(by id).

Single statements charge by INSERT ... ON CONFLICT: a plain UPDATE that waited for a claim of its gallery
would not see a row of the account that is younger than its snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId, Charge, GalleryId
from kappi_media.models.account import accounts
from kappi_media.models.gallery import contents
from kappi_media.models.item import items
from kappi_media.models.upload import uploads


async def adopt(connection: AsyncConnection, gallery_id: GalleryId, *, owner_id: AccountId) -> None:
    """Charge an account for an anonymous gallery and its content, once, in place of what was reserved for its
    claim.

    A gallery that has an owner, or is deleted, stays as it is. Afterwards the account has a row. A trigger
    marks the gallery, and its items are entered in the account's library soon (`CatchUpLibrary`).
    """
    adopted = await connection.execute(
        insert(contents)
        .values(gallery_id=gallery_id, owner_id=owner_id)
        .on_conflict_do_update(
            index_elements=[contents.c.gallery_id],
            set_={"owner_id": owner_id},
            where=contents.c.owner_id.is_(None) & contents.c.deleted_at.is_(None),
        )
        .returning(contents.c.gallery_id)
    )
    await connection.execute(insert(accounts).values(id=owner_id).on_conflict_do_nothing())
    if adopted.first() is not None:
        await end_claim(connection, gallery_id)
        # Read after the gallery's row is locked: transactions that wait for it find the new owner.
        held = await held_by(connection, gallery_id)
        await charge(connection, owner_id, held)


async def end_claim(connection: AsyncConnection, gallery_id: GalleryId) -> None:
    """Release what is reserved for a claim of a locked gallery, if there is a claim."""
    here = contents.c.gallery_id == gallery_id
    found = await connection.execute(
        select(contents.c.claimant_id, contents.c.claim_bytes).where(
            here, contents.c.claimant_id.is_not(None)
        )
    )
    claim = found.one_or_none()
    if claim is None:
        return
    await connection.execute(
        update(contents).where(here).values(claimant_id=None, claim_bytes=None, claim_until=None)
    )
    await charge(connection, claim.claimant_id, Charge(-claim.claim_bytes, 0))


async def held_by(connection: AsyncConnection, gallery_id: GalleryId) -> Charge:
    """Returns what a gallery holds; exact while its `contents` row is locked."""
    reserved = select(func.coalesce(func.sum(uploads.c.charged_bytes), 0)).where(
        uploads.c.gallery_id == gallery_id, uploads.c.state == "pending"
    )
    used = select(func.coalesce(func.sum(items.c.charged_bytes), 0)).where(
        items.c.gallery_id == gallery_id, items.c.status != "rejected"
    )
    row = (await connection.execute(select(reserved.scalar_subquery(), used.scalar_subquery()))).one()
    return Charge(reserved_bytes=int(row[0]), used_bytes=int(row[1]))


async def charge(connection: AsyncConnection, account_id: AccountId, by: Charge) -> None:
    await connection.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(
            reserved_bytes=accounts.c.reserved_bytes + by.reserved_bytes,
            used_bytes=accounts.c.used_bytes + by.used_bytes,
        )
    )


async def release_all(connection: AsyncConnection, charges: Mapping[AccountId, Charge]) -> None:
    """Subtract charges from the accounts."""
    for account_id in sorted(charges):
        by = charges[account_id]
        await charge(connection, account_id, Charge(-by.reserved_bytes, -by.used_bytes))
