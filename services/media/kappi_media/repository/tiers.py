"""The projection of tiers and accounts from the identity service's events: which rules apply to an
account.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from kappi_chassis.db import Database
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_media.domain.media import AccountId
from kappi_media.domain.tiers import TierRules
from kappi_media.models.account import accounts, tiers

_GOVERNING = """
SELECT named.tier, t.name, t.rendition_sizes, t.original_access, t.expiring_links, t.max_file_bytes,
       t.quota_bytes
FROM (SELECT COALESCE((SELECT tier FROM accounts WHERE id = $1), $2) AS tier) named
LEFT JOIN tiers t ON t.key = lower(named.tier)
"""


class GoverningRow(NamedTuple):
    """The tier of an account. tier: the requested name. rules: None when no event of that tier has arrived
    yet.
    """

    tier: str
    rules: TierRules | None


class TierQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def governing(self, account_id: AccountId | None, *, otherwise: str) -> GoverningRow:
        """Returns the tier of an account. otherwise: the tier's name for an anonymous gallery, or for an
        account without an event yet.
        """
        tier, name, sizes, original, links, max_file, quota = await self._database.hot.fetchrow(
            _GOVERNING, account_id, otherwise
        )
        if name is None:
            return GoverningRow(tier, None)
        rules = TierRules(
            name=name,
            rendition_sizes=tuple(sizes),
            original_access=original,
            expiring_links=links,
            max_file_bytes=max_file,
            quota_bytes=quota,
        )
        return GoverningRow(tier, rules)


async def keep_tier(connection: AsyncConnection, rules: TierRules, *, sequence: int) -> None:
    """Record the rules of a tier, unless a newer event is recorded."""
    values = {
        "name": rules.name,
        "rendition_sizes": list(rules.rendition_sizes),
        "original_access": rules.original_access,
        "expiring_links": rules.expiring_links,
        "max_file_bytes": rules.max_file_bytes,
        "quota_bytes": rules.quota_bytes,
        "sequence": sequence,
    }
    await connection.execute(
        insert(tiers)
        .values(key=func.lower(rules.name), **values)
        .on_conflict_do_update(index_elements=[tiers.c.key], set_=values, where=tiers.c.sequence < sequence)
    )


async def keep_account_tier(
    connection: AsyncConnection, account_id: AccountId, *, tier: str, sequence: int
) -> None:
    """Record the tier of an account, unless a newer event is recorded."""
    await _keep_account(connection, account_id, {"tier": tier, "sequence": sequence})


async def tombstone_account(
    connection: AsyncConnection, account_id: AccountId, *, at: datetime, sequence: int
) -> None:
    """Leave a tombstone, also if there was no row. The account's charges end with its galleries."""
    await _keep_account(connection, account_id, {"tier": None, "sequence": sequence, "deleted_at": at})


async def _keep_account(
    connection: AsyncConnection, account_id: AccountId, values: Mapping[str, Any]
) -> None:
    newer = accounts.c.sequence < values["sequence"]
    await connection.execute(
        insert(accounts)
        .values(id=account_id, **values)
        .on_conflict_do_update(index_elements=[accounts.c.id], set_=values, where=newer)
    )
