"""The counts of a process since its last flush, bounded in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from kappi_media import metrics
from kappi_media.statistics.traits import OTHER, UNDISCERNED, Traits

AccessKind = Literal["view", "item_view", "preview", "download", "archive", "link"]

MAX_TRAITS: Final = 500
"""Combinations of kind and traits of one gallery that are told apart between two flushes."""
MAX_NETWORKS: Final = 200
"""Pairs of kind and network, likewise."""
MAX_ITEMS: Final = 2_000
"""Pairs of item and kind, likewise. Those beyond are counted for the gallery alone."""


@dataclass(slots=True)
class GalleryCounts:
    """What was counted for one gallery. traits, networks: every access is in both; items: some are."""

    traits: Counter[tuple[AccessKind, Traits]] = field(default_factory=Counter)
    networks: Counter[tuple[AccessKind, str]] = field(default_factory=Counter)
    items: Counter[tuple[UUID, AccessKind]] = field(default_factory=Counter)


Counts = dict[UUID, GalleryCounts]
"""By gallery."""

_COUNTED = metrics.ACCESSES.labels("counted")
_DROPPED = metrics.ACCESSES.labels("dropped")


class AccessCounter:
    """Adds accesses up. Not for threads: a count is a few dictionary operations on the event loop.

    max_keys: of all dictionaries together. From there on, what has a key goes on being counted, a new
    combination is counted under `other`, and an access to a gallery without any key is dropped.
    """

    def __init__(self, *, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys = 0
        self._counts: Counts = {}

    def count(
        self,
        kind: AccessKind,
        gallery_id: UUID,
        *,
        traits: Traits,
        network: str,
        media_id: UUID | None = None,
    ) -> None:
        """One access."""
        counts = self._counts.get(gallery_id)
        if counts is None:
            if self._keys >= self._max_keys:
                _DROPPED.inc()
                return
            counts = self._counts[gallery_id] = GalleryCounts()
        key = (kind, traits)
        if key not in counts.traits and not self._takes(len(counts.traits), MAX_TRAITS):
            key = (kind, UNDISCERNED)
        counts.traits[key] += 1
        line = (kind, network)
        if line not in counts.networks and not self._takes(len(counts.networks), MAX_NETWORKS):
            line = (kind, OTHER)
        counts.networks[line] += 1
        if media_id is not None:
            item = (media_id, kind)
            if item in counts.items or self._takes(len(counts.items), MAX_ITEMS):
                counts.items[item] += 1
        _COUNTED.inc()

    def take(self) -> Counts:
        """Everything counted so far; counting begins anew."""
        taken, self._counts, self._keys = self._counts, {}, 0
        return taken

    def _takes(self, held: int, limit: int) -> bool:
        """Whether there is room for one more key, which is then taken."""
        if held >= limit or self._keys >= self._max_keys:
            return False
        self._keys += 1
        return True
