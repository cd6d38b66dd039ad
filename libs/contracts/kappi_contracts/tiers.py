"""The tiers that a new deployment has.

The identity service's migrations create them. Other services apply these rules until an event changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

_GIB: Final = 1 << 30

ANONYMOUS_TIER: Final = "Anonymous"
"""The tier of galleries without an account."""
DEFAULT_TIER: Final = "Traveller"
"""The tier of new accounts, and of accounts whose tier is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRules:
    """The rules of a tier. rendition_sizes: heights in pixels. quota_bytes: of one account; None for no
    limit.
    """

    rendition_sizes: tuple[int, ...]
    original_access: bool
    expiring_links: bool
    max_file_bytes: int
    quota_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSeed(TierRules):
    """A tier and its first rules."""

    name: str


_full = partial(TierSeed, original_access=True, expiring_links=False, max_file_bytes=5 * _GIB)
TIER_SEEDS: Final = (
    _full(name=ANONYMOUS_TIER, rendition_sizes=(200, 400), quota_bytes=None),
    _full(name=DEFAULT_TIER, rendition_sizes=(200, 400, 2048), quota_bytes=50 * _GIB),
    TierSeed(
        name="Basic",
        rendition_sizes=(200,),
        original_access=False,
        expiring_links=False,
        max_file_bytes=1 * _GIB,
        quota_bytes=15 * _GIB,
    ),
    _full(name="Premium", rendition_sizes=(200, 400), quota_bytes=500 * _GIB),
    _full(
        name="Enterprise",
        rendition_sizes=(200, 400),
        expiring_links=True,
        max_file_bytes=50 * _GIB,
        quota_bytes=5_000 * _GIB,
    ),
)
