"""Limits frequent attempts, by account and by client address, over all replicas."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from datetime import timedelta

from kappi_chassis.clock import Clock

from kappi_identity.domain.tokens import derived_secret
from kappi_identity.repository.throttle import ThrottleQueries


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bucket. name: the limited action. burst: attempts at once. refill: the time after which one more is
    allowed.
    """

    name: str
    burst: int
    refill: timedelta

    @property
    def retry_after_s(self) -> int:
        return max(1, math.ceil(self.refill.total_seconds()))


class Throttle:
    """Counts attempts in the database under keyed hashes, so that no address and no email is stored
    for it.
    """

    def __init__(self, queries: ThrottleQueries, *, secret: bytes, clock: Clock) -> None:
        self._queries = queries
        self._secret = derived_secret(secret, "throttle")
        self._clock = clock

    async def take(self, limit: Limit, subject: str) -> bool:
        """Count an attempt. Returns False when the subject has none left; the attempt is then not counted."""
        return await self._queries.take(
            self._key(limit, subject), burst=limit.burst, refill=limit.refill, now=self._clock()
        )

    async def give_back(self, limit: Limit, subject: str) -> None:
        """Take back the count of an attempt that was harmless."""
        await self._queries.give_back(self._key(limit, subject))

    def _key(self, limit: Limit, subject: str) -> bytes:
        return hmac.digest(self._secret, f"{limit.name}\n{subject}".encode(errors="replace"), "sha256")
