"""A cache of grants, so that a popular gallery does not ask the galleries service for each view.

Each credential has at most one lookup at a time; concurrent requests wait for the same answer. Refusals are
never cached, because a code that did not exist may have been issued since.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from kappi_chassis.clock import Monotonic

from kappi_gateway import metrics


class GrantKey(NamedTuple):
    """The credential a grant was given for. digest: keyed hash of the secret part, b"" when there is none."""

    kind: str
    code: str
    digest: bytes


class GallerySummary(msgspec.Struct, frozen=True):
    """What the page of a gallery says about it, as of the grant. used_up: a cap is reached."""

    title: str | None
    item_count: int
    size_bytes: int
    used_up: bool


@dataclass(frozen=True, slots=True)
class KeptGrant:
    """A sealed grant.

    reusable_s: seconds for which it may be reused after it was given. account_id: the owner's account if the
    grant was given for an access token, else None. gallery_expires_at: None if the gallery does not expire.
    summary: None from an earlier version of the galleries service.
    hides_items: it is one to view a gallery whose viewers see no items.
    """

    token: str
    gallery_id: UUID
    reusable_s: float
    account_id: UUID | None = None
    gallery_expires_at: datetime | None = None
    summary: GallerySummary | None = None
    hides_items: bool = False

    @property
    def used_up(self) -> bool:
        return self.summary is not None and self.summary.used_up


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant. cached: it came from the cache, so a refusal may only mean that it is too old."""

    key: GrantKey
    grant: KeptGrant
    cached: bool


class SecretDigests:
    """Keyed hashes that stand for passwords, access keys and tokens in the cache.

    secret: random, of this process alone.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __call__(self, secret_text: str) -> bytes:
        return blake2b(secret_text.encode(), key=self._secret, digest_size=24).digest()


Ask = Callable[[], Coroutine[Any, Any, KeptGrant]]


class _Flight:
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[KeptGrant]) -> None:
        self.task = task
        self.waiting = 0


class GrantCache:
    """Holds at most `size` grants; the least recently used go first."""

    def __init__(self, *, size: int, monotonic: Monotonic) -> None:
        self._size = size
        self._monotonic = monotonic
        self._kept: OrderedDict[GrantKey, tuple[KeptGrant, float]] = OrderedDict()
        self._by_gallery: defaultdict[UUID, set[GrantKey]] = defaultdict(set)
        self._flights: dict[GrantKey, _Flight] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: GrantKey) -> KeptGrant | None:
        """Returns a grant that may still be used, else None."""
        found = self._kept.get(key)
        if found is None:
            return None
        grant, stale_at = found
        if stale_at <= self._monotonic():
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return grant

    def is_being_asked(self, key: GrantKey) -> bool:
        return key in self._flights

    async def obtain(self, key: GrantKey, ask: Ask) -> KeptGrant:
        """Returns the answer to `ask`, shared by all concurrent calls for one key. Raises as `ask` does.

        The lookup is cancelled when all its callers have left.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(asyncio.create_task(ask(), name="grant"))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _: self._landed(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._forget_flight(key, flight)
                flight.task.cancel()

    def drop(self, key: GrantKey, grant: KeptGrant) -> None:
        """Drops a refused grant; a newer grant of the same key stays."""
        found = self._kept.get(key)
        if found is not None and found[0] is grant:
            metrics.GRANTS_DROPPED.labels("refused").inc()
            self._remove(key)

    def drop_gallery(self, gallery_id: UUID) -> None:
        """Drops every grant of a gallery that has changed.

        Running lookups may be older than the change, and their gallery is not known yet: their answers reach
        the waiting callers but are not cached, and later callers do not join them.
        """
        self._flights.clear()
        for key in self._by_gallery.pop(gallery_id, set()):
            metrics.GRANTS_DROPPED.labels("changed").inc()
            del self._kept[key]

    def drop_account(self, account_id: UUID) -> None:
        """Drops every grant of a deleted account.

        It looks at all grants, because accounts are deleted far more rarely than grants are cached.
        """
        self._flights.clear()
        gone = [key for key, (grant, _) in self._kept.items() if grant.account_id == account_id]
        for key in gone:
            metrics.GRANTS_DROPPED.labels("account_deleted").inc()
            self._remove(key)

    def drop_all(self) -> None:
        """Drops all grants, because changes may have been missed."""
        self._flights.clear()
        self._kept.clear()
        self._by_gallery.clear()

    def _landed(self, key: GrantKey, flight: _Flight) -> None:
        current = self._forget_flight(key, flight)
        if flight.task.cancelled() or flight.task.exception() is not None or not current:
            return
        grant = flight.task.result()
        if grant.reusable_s > 0:
            self._remove(key)
            self._kept[key] = (grant, self._monotonic() + grant.reusable_s)
            self._by_gallery[grant.gallery_id].add(key)
            while len(self._kept) > self._size:
                self._remove(next(iter(self._kept)))

    def _forget_flight(self, key: GrantKey, flight: _Flight) -> bool:
        if self._flights.get(key) is not flight:
            return False
        del self._flights[key]
        return True

    def _remove(self, key: GrantKey) -> None:
        found = self._kept.pop(key, None)
        if found is None:
            return
        keys = self._by_gallery[found[0].gallery_id]
        keys.discard(key)
        if not keys:
            del self._by_gallery[found[0].gallery_id]
