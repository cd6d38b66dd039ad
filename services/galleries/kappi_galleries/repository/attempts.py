"""Attempts at passwords, counted over all replicas."""

from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.db import Database

# Each attempt moves the instant at which all attempts are forgotten. An attempt that would move it too far is
# refused and not counted. Every call also deletes a few rows that are past that instant.
_TAKE = """
WITH swept AS (
  DELETE FROM password_attempts WHERE subject_hash = ANY(ARRAY(
    SELECT subject_hash FROM password_attempts WHERE spent_until <= $2 AND subject_hash <> $1
    ORDER BY spent_until LIMIT 4 FOR UPDATE SKIP LOCKED)))
INSERT INTO password_attempts AS known (subject_hash, spent_until) VALUES ($1, $2::timestamptz + $3::interval)
ON CONFLICT (subject_hash) DO UPDATE SET spent_until = GREATEST(known.spent_until, $2) + $3
WHERE GREATEST(known.spent_until, $2) + $3 <= $2 + $4::interval
RETURNING spent_until
"""
_SPENT_UNTIL = "SELECT spent_until FROM password_attempts WHERE subject_hash = $1"
_GIVE_BACK = "UPDATE password_attempts SET spent_until = spent_until - $2::interval WHERE subject_hash = $1"


class AttemptQueries:
    """Single statements outside any other transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, subject_hash: bytes, *, burst: int, refill: timedelta, now: datetime
    ) -> timedelta | None:
        """Count one attempt. Returns None when the attempt is allowed, otherwise the time until the next one
        is.

        burst: attempts allowed at once. refill: the time after which one more is allowed.
        """
        hot = self._database.hot
        if await hot.fetchval(_TAKE, subject_hash, now, refill, refill * burst) is not None:
            return None
        spent_until: datetime | None = await hot.fetchval(_SPENT_UNTIL, subject_hash)
        if spent_until is None:  # the row was swept in the meantime
            return timedelta(0)
        return spent_until + refill - refill * burst - now

    async def give_back(self, subject_hash: bytes, *, refill: timedelta) -> None:
        """Undo the count of one attempt that was not a wrong guess."""
        await self._database.hot.execute(_GIVE_BACK, subject_hash, refill)
