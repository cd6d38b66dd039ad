"""What a tier allows, and what holds until the identity service said otherwise. Free of I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

GIB = 1 << 30
GRID_HEIGHT_PX = 400

ANONYMOUS = "Anonymous"
"""The tier of galleries without an account."""
DEFAULT = "Basic"
"""The tier of accounts nothing else is known of."""


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

    @property
    def grid_size(self) -> str:
        """The rendition every item gets at once.

        400 pixels high, else the largest below, else the smallest. A tier without any gets 400 all the
        same: making one is what proves that a file can be decoded.
        """
        return str(_grid_height(self.rendition_sizes))


def _grid_height(sizes: Sequence[int]) -> int:
    if not sizes or GRID_HEIGHT_PX in sizes:
        return GRID_HEIGHT_PX
    small = [size for size in sizes if size < GRID_HEIGHT_PX]
    return max(small) if small else min(sizes)


# As the identity service seeds them: a gallery must open before the first event has arrived.
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
    """Rules for a tier nobody told of yet: the seeded ones of that name, else those of the default tier."""
    return SEEDED.get(name.lower(), SEEDED[DEFAULT.lower()])
