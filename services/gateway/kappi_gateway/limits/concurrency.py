"""The limit of concurrent calls, per client address or account."""

from __future__ import annotations

from contextlib import AbstractContextManager

from kappi_chassis.problems import TooManyRequests

from kappi_gateway import metrics
from kappi_gateway.limits.address_key import limit_key

RETRY_AFTER_S = 5


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

    def held_by(self, key: str) -> AbstractContextManager[None]:
        """Holds a place for an account or any other key. Entering the context raises the refusal."""
        return _Place(self, key)

    def take(self, key: str) -> None:
        """Raises the refusal."""
        running = self._running.get(key, 0)
        if running >= self._at_once:
            metrics.LIMITED.labels(self._name).inc()
            raise self._refusal("Let one of them end first.", retry_after_s=RETRY_AFTER_S)
        self._running[key] = running + 1
        self.running += 1

    def give_back(self, key: str) -> None:
        self.running -= 1
        left = self._running[key] - 1
        if left:
            self._running[key] = left
        else:
            del self._running[key]


class _Place:
    """A place within a context. Every request has one, and a generator would cost twice as much."""

    __slots__ = ("_key", "_limit")

    def __init__(self, limit: ConcurrencyLimit, key: str) -> None:
        self._limit = limit
        self._key = key

    def __enter__(self) -> None:
        self._limit.take(self._key)

    def __exit__(self, *_: object) -> None:
        self._limit.give_back(self._key)
