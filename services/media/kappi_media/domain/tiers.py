"""What a tier allows, and what holds until the identity service said otherwise. Free of I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from kappi_contracts.tiers import DEFAULT_TIER, TIER_SEEDS

GRID_HEIGHT_PX, SCREEN_HEIGHT_PX = 400, 2048
GRID_SIZE = str(GRID_HEIGHT_PX)
"""The rendition every item gets at once: making it is what proves that a file can be decoded."""


@dataclass(frozen=True, kw_only=True)
class TierRules:
    """One tier. rendition_sizes: heights in pixels. quota_bytes: of one account; None for no limit."""

    name: str
    rendition_sizes: tuple[int, ...]
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None

    @cached_property
    def sizes(self) -> frozenset[str]:
        """The sizes as they are asked for."""
        return frozenset(map(str, self.rendition_sizes))

    def allows(self, size: str) -> bool:
        """Whether a rendition of this size can be had: a height of the tier, or a cover both of whose sides
        are, which bounds how many there can be of one item."""
        return self.sizes.issuperset(size.split("x"))

    @cached_property
    def of_shared(self) -> TierRules:
        """The same for a shared gallery: with any tier viewers have a size for a grid, one for a screen."""
        sizes = {*self.rendition_sizes, GRID_HEIGHT_PX, SCREEN_HEIGHT_PX}
        return replace(self, rendition_sizes=tuple(sorted(sizes)))

    @property
    def size_list(self) -> str:
        """The sizes in words."""
        if not self.rendition_sizes:
            return "none"
        first, last = min(self.rendition_sizes), max(self.rendition_sizes)
        return f"{', '.join(map(str, self.rendition_sizes))}, and covers of these sides, as {last}x{first}"

    @cached_property
    def mark(self) -> str:
        """The same for two tiers exactly if they show the same of an item."""
        shown = f"{self.original_access} {sorted(set(self.rendition_sizes))}"
        return hashlib.blake2s(shown.encode(), digest_size=6).hexdigest()


SEEDED = {
    seed.name.lower(): TierRules(
        name=seed.name,
        rendition_sizes=seed.rendition_sizes,
        original_access=seed.original_access,
        expiring_links=seed.expiring_links,
        max_file_bytes=seed.max_file_bytes,
        quota_bytes=seed.quota_bytes,
    )
    for seed in TIER_SEEDS
}
"""A gallery must open before the first event of a tier has arrived."""


def seeded(name: str) -> TierRules:
    """Returns the rules of a tier of which no event told yet: those of its seed, else of the default tier."""
    return SEEDED.get(name.lower(), SEEDED[DEFAULT_TIER.lower()])
