"""The rules of a tier, and the rules that apply until the identity service has published any. Without I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

GIB = 1 << 30
GRID_HEIGHT_PX, SCREEN_HEIGHT_PX = 400, 2048
GRID_SIZE = str(GRID_HEIGHT_PX)
"""The rendition that every item gets at once: making it proves that the file can be decoded."""

ANONYMOUS = "Anonymous"
"""The tier of galleries without an account."""
DEFAULT = "Traveller"
"""The tier of accounts without an event yet: the event of an account may arrive later than its first call."""


@dataclass(frozen=True, kw_only=True)
class TierRules:
    """The rules of one tier. rendition_sizes: heights in pixels. quota_bytes: of one account; None for no
    limit.
    """

    name: str
    rendition_sizes: tuple[int, ...]
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None

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


# The tiers that the identity service seeds: a gallery must open before the first event has arrived.
SEEDED = {
    rules.name.lower(): rules
    for rules in (
        TierRules(
            name=ANONYMOUS,
            rendition_sizes=(200, 400),
            original_access=True,
            expiring_links=False,
            max_file_bytes=5 * GIB,
            quota_bytes=None,
        ),
        TierRules(
            name=DEFAULT,
            rendition_sizes=(200, 400, 2048),
            original_access=True,
            expiring_links=False,
            max_file_bytes=5 * GIB,
            quota_bytes=50 * GIB,
        ),
        TierRules(
            name="Basic",
            rendition_sizes=(200,),
            original_access=False,
            expiring_links=False,
            max_file_bytes=1 * GIB,
            quota_bytes=15 * GIB,
        ),
        TierRules(
            name="Premium",
            rendition_sizes=(200, 400),
            original_access=True,
            expiring_links=False,
            max_file_bytes=5 * GIB,
            quota_bytes=500 * GIB,
        ),
        TierRules(
            name="Enterprise",
            rendition_sizes=(200, 400),
            original_access=True,
            expiring_links=True,
            max_file_bytes=50 * GIB,
            quota_bytes=5_000 * GIB,
        ),
    )
}


def seeded(name: str) -> TierRules:
    """Returns the rules of a tier without an event yet: the seeded ones of that name, else those of the
    default tier.
    """
    return SEEDED.get(name.lower(), SEEDED[DEFAULT.lower()])
