"""Search an account's library.

A page is made by looking through one list of items, in the page's order, for those that match everything
else. The shortest list that holds all matches is taken. However long it is, a page looks at a bounded number
of its items, so it may hold fewer than asked for and still have a next one. Few matches in a long list are
found by an index instead (ADR-0023).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from kappi_chassis.clock import Clock

from kappi_media.domain import AccountId, Item
from kappi_media.library import Filters, Order, Position
from kappi_media.repository.library import MAX_PLACES, Asked, LibraryQueries, Name

SHORT_LIST: Final = 2_000
"""Items of a list that is looked through to its end for one page."""
MAX_CANDIDATES: Final = 3_000
"""Items that are put in order for one page."""
WINDOWS: Final = (256, 1_024, 4_096)
"""Items looked at, one window after another, until the page is full."""
LEAST_OF_EACH: Final = 32
ESTIMATES_KEPT: Final = 1_000
ESTIMATE_LASTS: Final = timedelta(minutes=1)
MAX_GRAMS: Final = 24
ALL: Final = ("all",)
# Of lists whose length is not known, beside those where it is.
_LONG, _LONGER, _LONGEST = 50_000, 500_000, 1 << 62


@dataclass(frozen=True, slots=True)
class LibraryPage:
    """next_after: where the next page goes on; None on the last."""

    items: list[Item]
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class NamePage:
    """next_after: the count and key of the last; None on the last page."""

    names: list[Name]
    next_after: tuple[int, str] | None


class SearchLibrary:
    def __init__(self, library: LibraryQueries, *, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._estimates: OrderedDict[tuple[AccountId, str], tuple[datetime, int | None]] = OrderedDict()

    async def __call__(
        self, filters: Filters, *, order: Order, after: Position | None, limit: int
    ) -> LibraryPage:
        asked = await self._library.asked(filters)
        length, lists = await self._shortest(filters, asked)
        candidates = None
        if length > SHORT_LIST:
            candidates = await self._candidates(filters, asked, order=order, lists=lists)
        if candidates is not None:
            found = await self._library.among(
                filters, asked, order=order, ids=candidates, after=after, limit=limit + 1
            )
            horizon = None
        else:
            found, horizon = await self._look_through(
                filters, asked, order=order, lists=lists, after=after, limit=limit + 1
            )
        if len(found) > limit:
            horizon = found[limit - 1]
        return LibraryPage(await self._library.items(found[:limit]), horizon)

    async def names(
        self, owner_id: AccountId, kind: str, *, prefix: str, after: tuple[int, str] | None, limit: int
    ) -> NamePage:
        """An account's tags or places: those with most items first; with a prefix, by their letters."""
        if prefix:
            last = after[1] if after else ""
            found = await self._library.beginning(owner_id, kind, prefix=prefix, after=last, limit=limit + 1)
        else:
            found = await self._library.most_used(owner_id, kind, after=after, limit=limit + 1)
        shown = found[:limit]
        more = (shown[-1].item_count, shown[-1].key) if len(found) > limit else None
        return NamePage(shown, more)

    async def _shortest(self, filters: Filters, asked: Asked) -> tuple[int, Sequence[str]]:
        """About how many items they hold, and the lists that hold all matches, each once."""
        known: list[tuple[int, Sequence[str]]] = [
            (count, (f"tag:{tag}",)) for tag, count in zip(asked.tags, asked.tag_counts, strict=True)
        ]
        if asked.place is not None and len(asked.places) <= MAX_PLACES:
            known.append((asked.place_count, [f"place:{place}" for place in asked.places]))
        if filters.gallery_id is not None:
            known.append((asked.gallery_count or 0, (f"gallery:{filters.gallery_id}",)))
        known.append((_LONGEST, ALL))
        shortest = min(known, key=lambda one: one[0])
        if shortest[0] <= SHORT_LIST:
            return shortest
        counted = [shortest]
        if cells := filters.cells:
            counted.append((await self._length(filters, cells, otherwise=_LONG), cells))
        if filters.kind is not None:
            kind = (f"kind:{filters.kind}",)
            counted.append((await self._length(filters, kind, otherwise=_LONGER), kind))
        return min(counted, key=lambda one: one[0])

    async def _length(self, filters: Filters, lists: Sequence[str], *, otherwise: int) -> int:
        each = max(LEAST_OF_EACH, SHORT_LIST // len(lists))
        count = await self._library.count(filters.owner_id, lists, most=each + 1)
        return count if count <= each else otherwise

    async def _candidates(
        self, filters: Filters, asked: Asked, *, order: Order, lists: Sequence[str]
    ) -> list[UUID] | None:
        """All that may match, where these are few and the order of the page is no help; else None."""
        grams = grams_of((asked.words or "").split())
        if grams and await self._are_rare(filters.owner_id, asked.words or "", grams):
            found = await self._library.with_grams(filters.owner_id, grams, most=MAX_CANDIDATES + 1)
            if len(found) <= MAX_CANDIDATES:
                return found
        other = "created_at" if order.column == "taken_at" else "taken_at"
        span = filters.span_of(other)
        if span.start is not None or span.end is not None:
            found = await self._library.within(
                filters.owner_id, lists, column=other, span=span, most=MAX_CANDIDATES + 1
            )
            if len(found) <= MAX_CANDIDATES:
                return found
        return None

    async def _are_rare(self, owner_id: AccountId, words: str, grams: Sequence[str]) -> bool:
        """A search is asked page after page, and what a minute brings changes it little."""
        now = self._clock()
        key = (owner_id, words)
        at, estimate = self._estimates.get(key, (datetime.min.replace(tzinfo=now.tzinfo), None))
        if abs(now - at) > ESTIMATE_LASTS:
            estimate = await self._library.estimate(owner_id, grams)
            self._estimates[key] = (now, estimate)
            while len(self._estimates) > ESTIMATES_KEPT:
                self._estimates.popitem(last=False)
        return estimate is not None and estimate <= MAX_CANDIDATES

    async def _look_through(
        self,
        filters: Filters,
        asked: Asked,
        *,
        order: Order,
        lists: Sequence[str],
        after: Position | None,
        limit: int,
    ) -> tuple[list[Position], Position | None]:
        """What was found, and how far was looked; None: to the end."""
        found: list[Position] = []
        for size in WINDOWS:
            each = max(LEAST_OF_EACH, size // max(1, len(lists)))
            window = await self._library.window(
                filters, asked, order=order, lists=lists, after=after, each=each, limit=limit - len(found)
            )
            found += window.found
            after = window.horizon
            if after is None or len(found) >= limit:
                break
        return found, after


def grams_of(words: Sequence[str]) -> list[str]:
    """Pieces of up to three characters that each hold all that has the words; the longer, the better."""
    grams: dict[str, None] = {}
    for word in words:
        size = min(3, len(word))
        for start in range(len(word) - size + 1):
            grams[word[start : start + size]] = None
    return list(grams)[:MAX_GRAMS]
