"""The rules of tiers (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from kappi_contracts.tiers import TIER_SEEDS, TierRules

from kappi_identity.domain.accounts import TextRefused

PROTECTED_TIERS = frozenset(seed.name for seed in TIER_SEEDS)
"""These tiers are seeded; other services rely on them."""

MAX_NAME_CHARACTERS = 50
MIN_SIZE_PX, MAX_SIZE_PX = 16, 4_096
MAX_SIZES = 20
MAX_FILE_BYTES = 5 * 1024**4
MAX_QUOTA_BYTES = 1024**5
# ASCII only, so that Python and PostgreSQL fold case alike.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _-]*")


def clean_tier_name(text: str) -> str:
    """Returns the name with single spaces. Raises TextRefused."""
    name = " ".join(text.split())
    if len(name) > MAX_NAME_CHARACTERS:
        raise TextRefused("too_long", f"A tier's name has at most {MAX_NAME_CHARACTERS} characters.")
    if not _NAME.fullmatch(name):
        raise TextRefused("invalid", "A tier's name is a letter, then letters, digits, spaces, _ or -.")
    return name


def clean_sizes(sizes: list[int]) -> tuple[int, ...]:
    """Returns the sizes ascending, each once. Raises TextRefused."""
    ordered = tuple(sorted(set(sizes)))
    if len(ordered) > MAX_SIZES:
        raise TextRefused("too_many", f"A tier has at most {MAX_SIZES} sizes.")
    if any(not MIN_SIZE_PX <= size <= MAX_SIZE_PX for size in ordered):
        raise TextRefused("out_of_range", f"A size is {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels.")
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """A tier as stored. A deleted tier stays as a tombstone, so that its version never starts again."""

    name: str
    rules: TierRules
    version: int
    deleted_at: datetime | None

    @property
    def is_protected(self) -> bool:
        return self.name in PROTECTED_TIERS
