"""Token buckets, one per key, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from kappi_chassis.clock import Monotonic

# A client that waited exactly as long as asked must get the token in spite of binary rounding.
_ROUNDING = 1e-6


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class TokenBuckets:
    """One bucket per key; an unknown key has a full bucket.

    capacity: tokens of a full bucket. refill_per_s: tokens a second. max_keys: the least recently used key is
    forgotten first. A client with enough addresses to push out others gains nothing: each has its own bucket.
    """

    def __init__(self, *, capacity: float, refill_per_s: float, max_keys: int, monotonic: Monotonic) -> None:
        self._capacity = capacity
        self._refill_per_s = refill_per_s
        self._max_keys = max_keys
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, key: str) -> float:
        """Returns the seconds until a token is available; 0 if one is."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        self._fill(bucket)
        missing = 1.0 - bucket.tokens
        return missing / self._refill_per_s if missing > _ROUNDING else 0.0

    def take(self, key: str) -> None:
        """Takes a token; a bucket never goes below zero by this."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = bucket = _Bucket(self._capacity, self._monotonic())
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        else:
            self._fill(bucket)
            self._buckets.move_to_end(key)
        bucket.tokens = max(0.0, bucket.tokens - 1.0)

    def owe(self, key: str, tokens: float) -> None:
        """Takes further tokens after a `take`. The bucket may go below zero, so the next wait is longer."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.tokens -= tokens

    def give_back(self, key: str) -> None:
        """Returns the token of one `take`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return
        self._fill(bucket)
        bucket.tokens = min(self._capacity, bucket.tokens + 1.0)
        if bucket.tokens >= self._capacity:
            del self._buckets[key]

    def _fill(self, bucket: _Bucket) -> None:
        now = self._monotonic()
        bucket.tokens = min(self._capacity, bucket.tokens + (now - bucket.filled_at) * self._refill_per_s)
        bucket.filled_at = now
