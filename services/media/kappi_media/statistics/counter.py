"""The counts of a process since its last flush, bounded in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from kappi_media import metrics
from kappi_media.statistics.traits import OTHER, UNDISCERNED, Traits, network_of, traits_of

AccessKind = Literal["view", "item_view", "preview", "download", "archive", "link"]

VIEW: Final = "view"
"""The kind of access whose callers are counted by language, role and app."""
MAX_TRAITS: Final = 500
"""The number of combinations of kind and traits of one gallery that are counted separately between two
flushes.
"""
MAX_NETWORKS: Final = 200
"""The number of pairs of kind and network, likewise."""
MAX_ITEMS: Final = 2_000
"""The number of pairs of item and kind, likewise. Further ones are counted for the gallery only."""


@dataclass(slots=True)
class GalleryCounts:
    """The counts of one gallery. traits, networks: each contains every access; items: some.

    Accesses that a flush could not log are counted once more in networks alone.
    """

    traits: Counter[tuple[AccessKind, Traits]] = field(default_factory=Counter)
    networks: Counter[tuple[AccessKind, str]] = field(default_factory=Counter)
    items: Counter[tuple[UUID, AccessKind]] = field(default_factory=Counter)


Counts = dict[UUID, GalleryCounts]
"""The counts by gallery."""

MAX_SIGHTINGS: Final = 1_000
"""The number of different sightings that are kept unclassified; then they are classified."""

_COUNTED = metrics.ACCESSES.labels("counted")
_DROPPED = metrics.ACCESSES.labels("dropped")


Sighting = tuple[AccessKind, int, UUID | None, str, bytes, bytes, bytes]
"""An access as its headers describe it, not classified yet: kind, the gallery's id as a number, item, role,
then the raw `Accept-Language`, `User-Agent` and address, cut to their length, empty when there is none. It is
a plain tuple with a number, because a UUID is hashed in Python, and one is made and hashed for every view.
"""


class AccessCounter:
    """Counts accesses. It is not thread-safe: counting one is a dictionary operation on the event loop.

    Equal sightings are first counted unclassified. They are classified when there are a thousand different
    ones, or when the counts are taken, so that a view does not wait for the parsing of headers. max_keys: of
    all dictionaries together. Above it, existing keys are still counted, a new combination is counted as
    `other`, and an access to a gallery without any key is dropped.
    """

    def __init__(self, *, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys = 0
        self._counts: Counts = {}
        # The value is a list of one number, so that a sighting is hashed once.
        self._seen: dict[Sighting, list[int]] = {}

    def see(self, sighting: Sighting) -> None:
        """Count one access."""
        times = self._seen.get(sighting)
        if times is not None:
            times[0] += 1
            return
        self._seen[sighting] = [1]
        if len(self._seen) >= MAX_SIGHTINGS:
            self._classify()

    def count(
        self,
        kind: AccessKind,
        gallery_id: UUID,
        *,
        traits: Traits,
        network: str,
        media_id: UUID | None = None,
        times: int = 1,
    ) -> None:
        """Count accesses that are already classified."""
        counts = self._counts.get(gallery_id)
        if counts is None:
            if self._keys >= self._max_keys:
                _DROPPED.inc(times)
                return
            counts = self._counts[gallery_id] = GalleryCounts()
        # Traits are counted for views only: a visit is one view, and further kinds would distinguish visits
        # by their number of requests.
        key = (kind, traits if kind == VIEW else UNDISCERNED)
        if key not in counts.traits and not self._takes(len(counts.traits), MAX_TRAITS):
            key = (kind, UNDISCERNED)
        counts.traits[key] += times
        self._log(counts, (kind, network), times)
        if media_id is not None:
            item = (media_id, kind)
            if item in counts.items or self._takes(len(counts.items), MAX_ITEMS):
                counts.items[item] += times
        _COUNTED.inc(times)

    def log_again(self, gallery_id: UUID, networks: Mapping[tuple[AccessKind, str], int]) -> None:
        """Add accesses that are counted already and still have to be logged."""
        counts = self._counts.setdefault(gallery_id, GalleryCounts())
        for line, times in networks.items():
            self._log(counts, line, times)

    def take(self) -> Counts:
        """Returns the counts so far; counting begins anew."""
        self._classify()
        taken, self._counts, self._keys = self._counts, {}, 0
        return taken

    def _classify(self) -> None:
        seen, self._seen = self._seen, {}
        for (kind, gallery, media_id, role, language, agent, address), (times,) in seen.items():
            self.count(
                kind,
                UUID(int=gallery),
                traits=traits_of(language, agent, role),
                network=network_of(address.decode("latin-1")),
                media_id=media_id,
                times=times,
            )

    def _log(self, counts: GalleryCounts, line: tuple[AccessKind, str], times: int) -> None:
        if line not in counts.networks and not self._takes(len(counts.networks), MAX_NETWORKS):
            line = (line[0], OTHER)
        counts.networks[line] += times

    def _takes(self, held: int, limit: int) -> bool:
        """Returns whether there is room for one more key, and takes it."""
        if held >= limit or self._keys >= self._max_keys:
            return False
        self._keys += 1
        return True
