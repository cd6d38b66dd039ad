from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kappi_chassis.db import Database
from kappi_contracts.tiers import TierRules
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_identity.domain.tiers import Tier
from kappi_identity.models import tiers

_RULES = ("original_access", "expiring_links", "max_file_bytes", "quota_bytes")


class TierQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[Tier]:
        """Returns living tiers, ordered by name."""
        async with self._database.transaction() as connection:
            found = await connection.execute(
                select(tiers).where(tiers.c.deleted_at.is_(None)).order_by(func.lower(tiers.c.name))
            )
            return [_tier(row) for row in found]

    async def find(self, name: str) -> Tier | None:
        """Returns a living tier by its name in any case."""
        async with self._database.transaction() as connection:
            found = await connection.execute(
                select(tiers).where(func.lower(tiers.c.name) == name.lower(), tiers.c.deleted_at.is_(None))
            )
            row = found.one_or_none()
            return None if row is None else _tier(row)


class TierRows:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, name: str) -> Tier | None:
        """Returns the tier by its name in any case, tombstones included.

        No other transaction changes or locks it.
        """
        return await self._one(select(tiers).where(_named(name)).with_for_update())

    async def hold(self, name: str) -> Tier | None:
        """Returns the tier, tombstones included, under a shared lock: no transaction changes it until the
        commit.
        """
        return await self._one(select(tiers).where(_named(name)).with_for_update(read=True))

    async def lock_unannounced(self) -> Sequence[Tier]:
        found = await self._connection.execute(
            select(tiers).where(~tiers.c.announced).order_by(tiers.c.name).with_for_update()
        )
        return [_tier(row) for row in found]

    async def insert(self, tier: Tier) -> bool:
        """Insert the tier.

        Returns False when the name is taken in any case, by a tombstone too; the transaction stays usable.
        """
        result = await self._connection.execute(
            insert(tiers).values(**_values(tier)).on_conflict_do_nothing()
        )
        return bool(result.rowcount)

    async def update(self, tier: Tier) -> None:
        """Write the rules, the version and the deletion time."""
        await self._connection.execute(update(tiers).where(tiers.c.name == tier.name).values(**_values(tier)))

    async def mark_announced(self) -> None:
        await self._connection.execute(update(tiers).where(~tiers.c.announced).values(announced=True))

    async def _one(self, statement: Any) -> Tier | None:
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else _tier(row)


def _named(name: str) -> Any:
    return func.lower(tiers.c.name) == name.lower()


def _values(tier: Tier) -> dict[str, Any]:
    rules = {name: getattr(tier.rules, name) for name in _RULES}
    return {
        "name": tier.name,
        "rendition_sizes": list(tier.rules.rendition_sizes),
        **rules,
        "version": tier.version,
        "deleted_at": tier.deleted_at,
    }


def _tier(row: Row[Any]) -> Tier:
    rules = {name: getattr(row, name) for name in _RULES}
    return Tier(
        name=row.name,
        rules=TierRules(rendition_sizes=tuple(row.rendition_sizes), **rules),
        version=row.version,
        deleted_at=row.deleted_at,
    )
