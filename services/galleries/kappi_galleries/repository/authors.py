"""Accounts that post and comment: their names and their tombstones.

Adding a post or a comment takes a share lock on the author's row until the commit, and the account's deletion
changes that row. So the deletion finds what was added, or it is never added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kappi_galleries.domain.posts import Caller
from kappi_galleries.models import authors

HOLD = """
  SELECT account_id FROM authors
  WHERE account_id = $1 AND deleted_at IS NULL AND (named_at >= $3 OR display_name IS NOT DISTINCT FROM $2)
    AND NOT EXISTS (SELECT FROM suspended_accounts s WHERE s.account_id = $1 AND s.suspended)
  FOR SHARE"""
"""For a CTE: returns one row if the author may write and has no newer name to store. $1 to $3: see `held`."""
_NOTE = """
INSERT INTO authors AS a (account_id, display_name, named_at)
SELECT $1::uuid, $2::text, $3::timestamptz
WHERE NOT EXISTS (SELECT FROM suspended_accounts s WHERE s.account_id = $1 AND s.suspended)
ON CONFLICT (account_id) DO UPDATE SET
  display_name = CASE WHEN a.named_at <= $3 THEN $2 ELSE a.display_name END,
  named_at = greatest(a.named_at, $3)
WHERE a.deleted_at IS NULL
RETURNING true
"""


def held(caller: Caller) -> tuple[UUID, str | None, datetime]:
    """Returns the first three arguments of a statement that contains `HOLD`."""
    return caller.account_id, caller.display_name, caller.named_at


async def note_author(asyncpg: Any, caller: Caller) -> bool:
    """Store an author under the newest name of its tokens.

    Returns False when the account is deleted or suspended.
    """
    return bool(await asyncpg.fetchval(_NOTE, *held(caller)))


async def tombstone_author(connection: AsyncConnection, account_id: UUID, *, deleted_at: datetime) -> None:
    """Store a tombstone of the author, even where there was no row. Repeating it has no further effect."""
    gone = {"display_name": None, "deleted_at": deleted_at}
    await connection.execute(
        insert(authors)
        .values(account_id=account_id, named_at=deleted_at, **gone)
        .on_conflict_do_update(
            index_elements=[authors.c.account_id], set_=gone, where=authors.c.deleted_at.is_(None)
        )
    )
