"""Limits per client address or account, in bounded memory: token buckets and limits of concurrency."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from kappi_chassis.problems import TooManyRequests

from kappi_gateway import metrics
from kappi_gateway.client_address import limit_key
from kappi_gateway.errors import TooManyGuesses

Monotonic = Callable[[], float]

# A client that waited exactly as long as asked must get the token in spite of binary rounding.
_ROUNDING = 1e-6
PLACE_RETRY_AFTER_S = 5


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class TokenBuckets:
    """One bucket per key; an unknown key has a full bucket.

    capacity: tokens of a full bucket. refill_per_s: tokens a second. max_keys: the least recently used key is
    forgotten first. A client with enough addresses to push others out has no need to.
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


class GuessLimit:
    """Limits failed lookups of codes.

    An address without tokens is refused even for codes that exist, otherwise the difference would reveal
    them. Codes that the address found before reveal nothing new and pass, so other clients of a shared
    address can go on while one of them guesses. max_found: codes remembered for all addresses together; the
    least recently used are forgotten first.
    """

    def __init__(self, buckets: TokenBuckets, *, max_found: int = 100_000) -> None:
        self._buckets = buckets
        self._max_found = max_found
        self._found: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, code: str | None = None) -> None:
        """Raises TooManyGuesses with the seconds until the next guess is allowed.

        code: None for text that cannot be a code.
        """
        wait_s = self._buckets.wait_s(limit_key(address))
        if wait_s > 0 and (code is None or not self.has_found(address, code)):
            metrics.LIMITED.labels("guesses").inc()
            raise TooManyGuesses("Wait, then try again.", retry_after_s=math.ceil(wait_s))

    def found(self, address: str, code: str) -> None:
        """Records that the code exists and that the address has learned so."""
        pair = limit_key(address), code
        self._found[pair] = None
        self._found.move_to_end(pair)
        if len(self._found) > self._max_found:
            self._found.popitem(last=False)

    def has_found(self, address: str, code: str) -> bool:
        return (limit_key(address), code) in self._found

    def missed(self, address: str, code: str) -> None:
        """Records that the code does not exist, or no longer."""
        self._found.pop((limit_key(address), code), None)

    def spend(self, address: str) -> None:
        """Takes a token for a lookup that failed, or is about to be made and may fail."""
        self._buckets.take(limit_key(address))

    def refund(self, address: str) -> None:
        """Returns the token of a lookup that did not fail."""
        self._buckets.give_back(limit_key(address))


class RateLimit:
    """Limits the rate of one kind of calls, or of the things that they make. Calls without effect are free.

    name: the limit's name in metrics. refusal: raised beyond the limit. is_free: decides by the status of the
    answer and the problem code of a 422 ("" for any other status).
    """

    def __init__(
        self,
        buckets: TokenBuckets,
        *,
        name: str,
        refusal: type[TooManyRequests],
        is_free: Callable[[int, str], bool],
    ) -> None:
        self._buckets = buckets
        self._name = name
        self._refusal = refusal
        self._is_free = is_free

    def pay(self, subject: str) -> None:
        """Takes a token before the call.

        Raises the refusal with the seconds until the next call is allowed.
        """
        wait_s = self._buckets.wait_s(subject)
        if wait_s > 0:
            metrics.LIMITED.labels(self._name).inc()
            raise self._refusal("Wait, then try again.", retry_after_s=math.ceil(wait_s))
        self._buckets.take(subject)

    def settle(self, subject: str, *, status: int, code: str, things: int = 1) -> None:
        """Corrects the payment after the call.

        code: problem code where the status alone does not decide. things: number of things made, if each
        counts.
        """
        if self._is_free(status, code):
            self._buckets.give_back(subject)
        elif things > 1:
            self._buckets.owe(subject, things - 1)


class ConcurrencyLimit:
    """Limits the concurrent calls of one address, for calls whose cost does not depend on their rate.

    name: the limit's name in metrics. refusal: raised beyond the limit.
    """

    def __init__(self, at_once: int, *, name: str, refusal: type[TooManyRequests]) -> None:
        self._at_once = at_once
        self._name = name
        self._refusal = refusal
        self._running: dict[str, int] = {}
        self.running = 0

    def running_of(self, address: str) -> int:
        """Returns the number of places that an address holds now; `running` counts all addresses."""
        return self._running.get(limit_key(address), 0)

    def held(self, address: str) -> AbstractContextManager[None]:
        """Holds a place for an address. Entering the context raises the refusal."""
        return self.held_by(limit_key(address))

    @contextmanager
    def held_by(self, key: str) -> Iterator[None]:
        """Holds a place for an account or any other key. Raises the refusal."""
        running = self._running.get(key, 0)
        if running >= self._at_once:
            metrics.LIMITED.labels(self._name).inc()
            raise self._refusal("Let one of them end first.", retry_after_s=PLACE_RETRY_AFTER_S)
        self._running[key] = running + 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]
