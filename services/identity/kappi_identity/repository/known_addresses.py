from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.models import known_addresses


class KnownAddressRows:
    """The known addresses of accounts. The account must be locked first."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def remember(self, account_id: UUID, address_hash: bytes, *, now: datetime, most: int) -> None:
        """Store an address. most: how many addresses of one account are kept, the newest."""
        table = known_addresses
        statement = insert(table).values(account_id=account_id, address_hash=address_hash, seen_at=now)
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[table.c.account_id, table.c.address_hash], set_={"seen_at": now}
            )
        )
        newest = (
            select(table.c.address_hash)
            .where(table.c.account_id == account_id)
            .order_by(table.c.seen_at.desc(), table.c.address_hash)
            .limit(most)
        )
        await self._connection.execute(
            delete(table).where(table.c.account_id == account_id, table.c.address_hash.not_in(newest))
        )

    async def forget_all(self, account_id: UUID) -> None:
        await self._connection.execute(
            delete(known_addresses).where(known_addresses.c.account_id == account_id)
        )
