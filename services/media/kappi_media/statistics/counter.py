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
"""The kind whose callers are told apart by language, role and app."""
MAX_TRAITS: Final = 500
"""Combinations of kind and traits of one gallery that are told apart between two flushes."""
MAX_NETWORKS: Final = 200
"""Pairs of kind and network, likewise."""
MAX_ITEMS: Final = 2_000
"""Pairs of item and kind, likewise. Those beyond are counted for the gallery alone."""


@dataclass(slots=True)
class GalleryCounts:
    """What was counted for one gallery. traits, networks: every access is in both; items: some are. What a
    flush could not log is once more in networks alone."""

    traits: Counter[tuple[AccessKind, Traits]] = field(default_factory=Counter)
    networks: Counter[tuple[AccessKind, str]] = field(default_factory=Counter)
    items: Counter[tuple[UUID, AccessKind]] = field(default_factory=Counter)


Counts = dict[UUID, GalleryCounts]
"""By gallery."""

MAX_SIGHTINGS: Final = 1_000
"""Different sightings that are kept as they came; then they are classified."""

_COUNTED = metrics.ACCESSES.labels("counted")
_DROPPED = metrics.ACCESSES.labels("dropped")


Sighting = tuple[AccessKind, int, UUID | None, str, bytes, bytes, bytes]
"""An access as its headers describe it, not classified yet: kind, the gallery's id as a number, item, role,
then the raw `Accept-Language`, `User-Agent` and address, cut, empty where there is none.

A plain tuple, and a number, because a UUID is hashed in Python: it is made and hashed for every view.
"""


class AccessCounter:
    """Adds accesses up. Not for threads: to see one is a dictionary operation on the event loop.

    Like ones are first counted as they came, and classified a thousand different ones at a time, or when they
    are taken: a view is not the moment to look into headers.

    max_keys: of all dictionaries together. From there on, what has a key goes on being counted, a new
    combination is counted under `other`, and an access to a gallery without any key is dropped.
    """

    def __init__(self, *, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys = 0
        self._counts: Counts = {}
        # A list of one number each, so that a sighting is hashed once.
        self._seen: dict[Sighting, list[int]] = {}

    def see(self, sighting: Sighting) -> None:
        """One access."""
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
        """Accesses that are classified already."""
        counts = self._counts.get(gallery_id)
        if counts is None:
            if self._keys >= self._max_keys:
                _DROPPED.inc(times)
                return
            counts = self._counts[gallery_id] = GalleryCounts()
        # A visit is one view: what is fetched in it would tell the visits apart by how much that was.
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
        """Accesses that are counted, and still to be logged."""
        counts = self._counts.setdefault(gallery_id, GalleryCounts())
        for line, times in networks.items():
            self._log(counts, line, times)

    def take(self) -> Counts:
        """Everything counted so far; counting begins anew."""
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
        """Whether there is room for one more key, which is then taken."""
        if held >= limit or self._keys >= self._max_keys:
            return False
        self._keys += 1
        return True
