"""The rules for showing counted accesses to owners and administrators, free of I/O (ADR-0024)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

OTHER: Final = "other"
KIND: Final = "kind"
LANGUAGE: Final = "language"
ROLE: Final = "role"
APP: Final = "app"


class DailyCount(NamedTuple):
    """The number of accesses of one day that share a value of a trait. `kind` is a trait, too."""

    day: date
    trait: str
    value: str
    times: int


class ItemCount(NamedTuple):
    """The number of accesses of one kind to one item."""

    media_id: UUID
    kind: str
    times: int


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of accesses by each trait, not crossed."""

    kinds: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    apps: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.kinds.total()

    def add(self, counts: Iterable[DailyCount]) -> Sums:
        by_trait = {KIND: self.kinds, LANGUAGE: self.languages, ROLE: self.roles, APP: self.apps}
        for found in counts:
            if (counter := by_trait.get(found.trait)) is not None:
                counter[found.value] += found.times
        return self


def by_day(counts: Sequence[DailyCount]) -> list[tuple[date, Sums]]:
    """Returns the sums of each day. counts: ordered by day."""
    return [(day, Sums().add(found)) for day, found in groupby(counts, key=lambda count: count.day)]


def for_owner(counts: Iterable[DailyCount], *, step: int, today: date) -> list[DailyCount]:
    """Returns counts that reveal no single viewer, neither by a rare trait nor by a comparison before and
    after a visit.

    Each value of language, role and app is cut to a multiple of `step` per day, and the remainder is counted
    as `other`. From `today` on all of them are `other`, so that a day is shown after it is over and does not
    change any more. An administrator is counted as a user, since there may be only one.
    """
    shown: Counter[tuple[date, str, str]] = Counter()
    for day, trait, value, times in _merged(counts):
        told = times - times % step if day < today else 0
        whole = times if trait == KIND else told
        shown[day, trait, value] += whole
        shown[day, trait, OTHER] += times - whole
    return [DailyCount(*key, times) for key, times in sorted(shown.items()) if times]


def _merged(counts: Iterable[DailyCount]) -> list[DailyCount]:
    merged: Counter[tuple[date, str, str]] = Counter()
    for day, trait, value, times in counts:
        merged[day, trait, "user" if (trait, value) == (ROLE, "admin") else value] += times
    return [DailyCount(*key, times) for key, times in merged.items()]
