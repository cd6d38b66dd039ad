"""Whose share of the decoders a piece of work takes, and how much of them each has had lately."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from kappi_media.domain.media import AddressId

Party = UUID | int
"""An account, an anonymous gallery, or a client's address (`address_party`)."""

_COMMON: Final[tuple[Party, ...]] = (0,)


@dataclass(frozen=True, slots=True)
class Share:
    """tenant: the account that owns the gallery, or the gallery itself where it is anonymous. address: of the
    client, where it is known. Work that names neither shares with all other such work."""

    tenant: UUID | None = None
    address: int | None = None
    anonymous: bool = False

    @property
    def parties(self) -> tuple[Party, ...]:
        return tuple(party for party in (self.tenant, self.address) if party is not None) or _COMMON


def address_party(address_id: AddressId) -> int:
    """The number that stands for an address: 64 bits, signed, as PostgreSQL has them."""
    return int.from_bytes(address_id.bytes[:8], "big", signed=True)


NO_SHARE: Final = Share()


@dataclass(slots=True)
class _Bucket:
    seconds: float
    as_of: float


class DecoderBudget:
    """Seconds for which decoders were held for each party: leaky buckets, in bounded memory.

    seconds: that an anonymous gallery, and a client of such, may take within `window` before its work waits
    for that of others. It comes back evenly. max_parties: the longest unchanged is forgotten first.
    """

    def __init__(
        self,
        *,
        seconds: timedelta = timedelta(minutes=1),
        window: timedelta = timedelta(minutes=10),
        max_parties: int = 4096,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds.total_seconds()
        self._leak = self.seconds / window.total_seconds()
        self._max_parties = max_parties
        self._monotonic = monotonic
        self._buckets: OrderedDict[Party, _Bucket] = OrderedDict()

    def charge(self, share: Share, seconds: float) -> None:
        now = self._monotonic()
        for party in share.parties:
            self._buckets[party] = _Bucket(self._level(party, now) + seconds, now)
            self._buckets.move_to_end(party)
        while len(self._buckets) > self._max_parties:
            self._buckets.popitem(last=False)

    def spent(self, share: Share) -> tuple[float, float]:
        """Seconds of the party that had most, and of the one that had least."""
        now = self._monotonic()
        levels = [self._level(party, now) for party in share.parties]
        return max(levels), min(levels)

    def is_exceeded(self, share: Share) -> bool:
        return share.anonymous and self.spent(share)[0] > self.seconds

    def levels(self) -> Mapping[Party, float]:
        """Seconds by party, without those that have all of them back."""
        now = self._monotonic()
        known = {party: self._level(party, now) for party in self._buckets}
        for party in [party for party, level in known.items() if not level]:
            del self._buckets[party], known[party]
        return known

    def _level(self, party: Party, now: float) -> float:
        bucket = self._buckets.get(party)
        return 0.0 if bucket is None else max(0.0, bucket.seconds - (now - bucket.as_of) * self._leak)
