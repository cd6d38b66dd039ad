"""The parties whose work shares the decoders, and how much decoder time each has used recently."""

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
    """The parties of a piece of work. tenant: the account that owns the gallery, or the gallery itself if it
    is anonymous. address: of the client, where known.

    Work that names neither shares with all other such work.
    """

    tenant: UUID | None = None
    address: int | None = None
    anonymous: bool = False

    @property
    def parties(self) -> tuple[Party, ...]:
        return tuple(party for party in (self.tenant, self.address) if party is not None) or _COMMON


def address_party(address_id: AddressId) -> int:
    """Returns the number that stands for an address: 64 bits, signed, as in PostgreSQL."""
    return int.from_bytes(address_id.bytes[:8], "big", signed=True)


NO_SHARE: Final = Share()


@dataclass(slots=True)
class _Bucket:
    seconds: float
    as_of: float


class DecoderBudget:
    """The decoder seconds of each party: leaky buckets, in bounded memory.

    seconds: the time that an anonymous gallery, and its client, may use within `window` before its work waits
    for that of others. It is restored evenly. max_parties: beyond it, the party unchanged for longest is
    dropped.
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
        """Returns the seconds of the party that used most, and of the one that used least."""
        now = self._monotonic()
        levels = [self._level(party, now) for party in share.parties]
        return max(levels), min(levels)

    def is_exceeded(self, share: Share) -> bool:
        return share.anonymous and self.spent(share)[0] > self.seconds

    def levels(self) -> Mapping[Party, float]:
        """Returns the seconds by party, without those that are fully restored."""
        now = self._monotonic()
        known = {party: self._level(party, now) for party in self._buckets}
        for party in [party for party, level in known.items() if not level]:
            del self._buckets[party], known[party]
        return known

    def _level(self, party: Party, now: float) -> float:
        bucket = self._buckets.get(party)
        return 0.0 if bucket is None else max(0.0, bucket.seconds - (now - bucket.as_of) * self._leak)
