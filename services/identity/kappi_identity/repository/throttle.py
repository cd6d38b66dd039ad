from __future__ import annotations

from datetime import datetime, timedelta

from kappi_chassis.db import Database

# A leaking bucket in one statement: the level after leaking, plus one, if that still fits.
_TAKE = """
INSERT INTO throttle AS known (subject_hash, level, updated_at) VALUES ($1, 1, $4)
ON CONFLICT (subject_hash) DO UPDATE SET
  level = GREATEST(0, known.level - GREATEST(0, extract(epoch FROM $4 - known.updated_at)) / $3) + 1,
  updated_at = GREATEST(known.updated_at, $4)
WHERE GREATEST(0, known.level - GREATEST(0, extract(epoch FROM $4 - known.updated_at)) / $3) + 1 <= $2
RETURNING level
"""
_GIVE_BACK = "UPDATE throttle SET level = GREATEST(0, level - 1) WHERE subject_hash = $1"


class ThrottleQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, subject_hash: bytes, *, burst: int, refill: timedelta, now: datetime) -> bool:
        """Count one attempt.

        Returns False when the bucket is full. refill: the time after which one more fits.
        """
        level = await self._database.hot.fetchval(
            _TAKE, subject_hash, float(burst), refill.total_seconds(), now
        )
        return level is not None

    async def give_back(self, subject_hash: bytes) -> None:
        await self._database.hot.execute(_GIVE_BACK, subject_hash)
