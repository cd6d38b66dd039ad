"""The rules of a tier, and the rules that apply until the identity service has published any. Without I/O."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from kappi_contracts.tiers import DEFAULT_TIER, TIER_SEEDS, TierSeed

GRID_HEIGHT_PX, SCREEN_HEIGHT_PX = 400, 2048
GRID_SIZE = str(GRID_HEIGHT_PX)
"""The rendition that every item gets at once: making it proves that the file can be decoded."""


@dataclass(frozen=True, kw_only=True)
class TierRules(TierSeed):
    """The rules of one tier."""

    @cached_property
    def sizes(self) -> frozenset[str]:
        """Returns the sizes by their public names."""
        return frozenset(map(str, self.rendition_sizes))

    def allows(self, size: str) -> bool:
        """Returns whether the tier has a rendition of this size: a height of the tier, or a cover both of
        whose sides are heights of the tier. This bounds the number of renditions of one item.
        """
        return self.sizes.issuperset(size.split("x"))

    @cached_property
    def of_shared(self) -> TierRules:
        """Returns the rules for a shared gallery: in every tier viewers get one size for a grid and one for a
        screen.
        """
        sizes = {*self.rendition_sizes, GRID_HEIGHT_PX, SCREEN_HEIGHT_PX}
        return replace(self, rendition_sizes=tuple(sorted(sizes)))

    @property
    def size_list(self) -> str:
        """Returns the sizes in words."""
        if not self.rendition_sizes:
            return "none"
        first, last = min(self.rendition_sizes), max(self.rendition_sizes)
        return f"{', '.join(map(str, self.rendition_sizes))}, and covers of these sides, as {last}x{first}"

    @cached_property
    def mark(self) -> str:
        """Returns a text that two tiers share exactly if they show the same of an item."""
        shown = f"{self.original_access} {sorted(set(self.rendition_sizes))}"
        return hashlib.blake2s(shown.encode(), digest_size=6).hexdigest()


SEEDED = {seed.name.lower(): TierRules(**asdict(seed)) for seed in TIER_SEEDS}
"""A gallery must open before the first event of a tier has arrived."""


def seeded(name: str) -> TierRules:
    """Returns the rules of a tier without an event yet: those of its seed, else of the default tier."""
    return SEEDED.get(name.lower(), SEEDED[DEFAULT_TIER.lower()])
