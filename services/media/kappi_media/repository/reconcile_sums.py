"""Compares stored sums with the rows that they are sums of, and corrects them.

Every change of a row changes its sums in the same transaction (`repository.ownership`). While the row of a
sum is locked, a change is either wholly visible to the next statement, or waits.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from kappi_chassis.db import Database

ACCOUNTS: Final = 50
"""Accounts of one page: their items are read."""
GALLERIES: Final = 200

# What `ownership` says that an account is charged for.
_TRUE_CHARGES = """
SELECT a.id,
  coalesce((SELECT sum(i.charged_bytes) FROM contents c JOIN items i ON i.gallery_id = c.gallery_id
    WHERE c.owner_id = a.id AND c.deleted_at IS NULL AND i.status <> 'rejected'), 0)
  + coalesce((SELECT sum(p.size_bytes) FROM post_pictures p
    WHERE p.account_id = a.id AND p.state = 'stored'), 0) AS used,
  coalesce((SELECT sum(u.charged_bytes) FROM contents c JOIN uploads u ON u.gallery_id = c.gallery_id
    WHERE c.owner_id = a.id AND c.deleted_at IS NULL AND u.state = 'pending'), 0)
  + coalesce((SELECT sum(p.size_bytes) FROM post_pictures p
    WHERE p.account_id = a.id AND p.state = 'pending'), 0)
  + coalesce((SELECT sum(c.claim_bytes) FROM contents c WHERE c.claimant_id = a.id), 0) AS reserved
FROM {accounts} a
"""
_PAGE_OF_ACCOUNTS = "(SELECT id FROM accounts WHERE id > $1 ORDER BY id LIMIT $2)"
_WRONG_CHARGES = f"""
SELECT a.id, a.used_bytes <> t.used OR a.reserved_bytes <> t.reserved AS wrong
FROM ({_TRUE_CHARGES.format(accounts=_PAGE_OF_ACCOUNTS)}) t JOIN accounts a ON a.id = t.id ORDER BY a.id
"""  # noqa: S608 - constants, not input
_HOLD_ACCOUNT = "SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE"
_MEND_ACCOUNT = f"""
UPDATE accounts a SET used_bytes = t.used, reserved_bytes = t.reserved
FROM ({_TRUE_CHARGES.format(accounts="(SELECT $1::uuid AS id)")}) t
WHERE a.id = t.id AND (a.used_bytes <> t.used OR a.reserved_bytes <> t.reserved) RETURNING true
"""  # noqa: S608 - constants, not input
_COUNT = "SELECT count(*) FROM items i WHERE i.gallery_id = c.gallery_id AND i.status <> 'rejected'"
_WRONG_COUNTS = f"""
SELECT c.gallery_id AS id, c.deleted_at IS NULL AND c.item_count <> ({_COUNT}) AS wrong
FROM contents c WHERE c.gallery_id > $1 ORDER BY c.gallery_id LIMIT $2
"""  # noqa: S608 - constants, not input
_HOLD_GALLERY = "SELECT 1 FROM contents WHERE gallery_id = $1 FOR UPDATE"
_MEND_COUNT = f"""
UPDATE contents c SET item_count = ({_COUNT}), version = c.version + 1
WHERE c.gallery_id = $1 AND c.deleted_at IS NULL AND c.item_count <> ({_COUNT}) RETURNING true
"""  # noqa: S608 - constants, not input


class SumQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self, after: UUID) -> dict[UUID, bool]:
        """Returns, for the next accounts in order, whether their charges are wrong."""
        return dict(await self._database.hot.fetch(_WRONG_CHARGES, after, ACCOUNTS))

    async def galleries(self, after: UUID) -> dict[UUID, bool]:
        """Returns, for the next galleries in order, whether their item counts are wrong."""
        return dict(await self._database.hot.fetch(_WRONG_COUNTS, after, GALLERIES))

    async def mend_account(self, account_id: UUID) -> bool:
        """Corrects the charges of an account. Returns False when they were right."""
        return await self._mend(account_id, hold=_HOLD_ACCOUNT, mend=_MEND_ACCOUNT)

    async def mend_gallery(self, gallery_id: UUID) -> bool:
        """Corrects the item count of a gallery. Returns False when it was right."""
        return await self._mend(gallery_id, hold=_HOLD_GALLERY, mend=_MEND_COUNT)

    async def _mend(self, row_id: UUID, *, hold: str, mend: str) -> bool:
        connection: Any
        async with self._database.hot.acquire() as connection, connection.transaction():
            await connection.execute(hold, row_id)
            return bool(await connection.fetchval(mend, row_id))
