"""Deleted and suspended accounts, as this service stores them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.models import deleted_accounts, suspended_accounts
from kappi_galleries.repository.advisory_locks import lock_of


class AccountRows:
    """Deleted and suspended accounts within one transaction.

    A transaction that gives a gallery to an account holds a shared lock on the account until its commit, and
    the account's deletion takes the exclusive lock. So the deletion finds the gallery, or the gallery is
    never given.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def admit(self, account_id: UUID) -> bool:
        """Whether the account may get a gallery in this transaction; False when it is deleted or
        suspended.
        """
        await self._connection.execute(select(func.pg_advisory_xact_lock_shared(lock_of(account_id))))
        # A separate statement, because it must see what was committed while it waited for the lock.
        found = await self._connection.execute(
            select(deleted_accounts.c.account_id)
            .where(deleted_accounts.c.account_id == account_id)
            .union_all(
                select(suspended_accounts.c.account_id).where(
                    suspended_accounts.c.account_id == account_id, suspended_accounts.c.suspended
                )
            )
            .limit(1)
        )
        return found.one_or_none() is None

    async def note_suspension(self, account_id: UUID, *, suspended: bool, sequence: int) -> bool:
        """Store the state of the newest event. Returns False when the stored event is newer."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(lock_of(account_id))))
        statement = insert(suspended_accounts).values(
            account_id=account_id, suspended=suspended, sequence=sequence
        )
        noted = await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[suspended_accounts.c.account_id],
                set_={
                    "suspended": statement.excluded.suspended,
                    "sequence": statement.excluded.sequence,
                },
                where=suspended_accounts.c.sequence <= statement.excluded.sequence,
            )
        )
        return bool(noted.rowcount)

    async def tombstone(self, account_id: UUID, *, deleted_at: datetime) -> None:
        """Store a tombstone of the account. Repeating it has no further effect."""
        await self._connection.execute(select(func.pg_advisory_xact_lock(lock_of(account_id))))
        await self._connection.execute(
            insert(deleted_accounts)
            .values(account_id=account_id, deleted_at=deleted_at)
            .on_conflict_do_nothing()
        )
