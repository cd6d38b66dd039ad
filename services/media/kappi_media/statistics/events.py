"""Builds events from counts: without addresses, and with traits that are not combined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final, Literal
from uuid import UUID

from kappi_contracts.events import ItemCount, KindCount, MediaAccessed, TraitCount

from kappi_media.statistics.counter import VIEW, Counts, GalleryCounts

MAX_ITEMS_PER_EVENT: Final = 500
"""The number of items per event. It limits an event to some 60 kB."""

_Trait = Literal["language", "role", "app"]


def events_of(counts: Counts, *, day: date) -> Iterator[MediaAccessed]:
    """Yields one event per gallery, or more for a gallery with many items; the further ones contain items
    only.
    """
    for gallery_id, counted in counts.items():
        if not counted.traits:
            continue
        items = _items(counted)
        yield MediaAccessed(
            gallery_id=gallery_id,
            day=day,
            kinds=_kinds(counted),
            traits=_traits(counted),
            items=items[:MAX_ITEMS_PER_EVENT],
        )
        for start in range(MAX_ITEMS_PER_EVENT, len(items), MAX_ITEMS_PER_EVENT):
            more = items[start : start + MAX_ITEMS_PER_EVENT]
            yield MediaAccessed(gallery_id=gallery_id, day=day, kinds=(), traits=(), items=more)


def _kinds(counted: GalleryCounts) -> tuple[KindCount, ...]:
    totals: Counter[str] = Counter()
    for (kind, _), count in counted.traits.items():
        totals[kind] += count
    return tuple(KindCount(kind=kind, count=count) for kind, count in sorted(totals.items()))


def _traits(counted: GalleryCounts) -> tuple[TraitCount, ...]:
    totals: Counter[tuple[_Trait, str]] = Counter()
    for (kind, traits), count in counted.traits.items():
        if kind != VIEW:
            continue
        totals["language", traits.language] += count
        totals["role", traits.role] += count
        totals["app", traits.app] += count
    return tuple(
        TraitCount(trait=trait, value=value, count=count) for (trait, value), count in sorted(totals.items())
    )


def _items(counted: GalleryCounts) -> tuple[ItemCount, ...]:
    found: Sequence[tuple[tuple[UUID, str], int]] = sorted(counted.items.items())
    return tuple(ItemCount(media_id=media_id, kind=kind, count=count) for (media_id, kind), count in found)
