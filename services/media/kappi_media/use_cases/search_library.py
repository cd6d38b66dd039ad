"""Searches an account's library.

A page is made by reading one list of items, in the page's order, and selecting those that match all other
filters. The shortest list that contains all matches is used. For each page a bounded number of its items is
read, so a page may hold fewer items than requested and still have a next one. Few matches in a long list are
found by an index instead (ADR-0023).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kappi_chassis.clock import Clock
from kappi_chassis.pagination import cut_page
from kappi_chassis.problems import FieldError, ValidationFailed

from kappi_media.domain.library import ALWAYS, EVERY_PLACED, Filters, Order, Position, Span, months_over
from kappi_media.domain.media import AccountId, Item
from kappi_media.repository.library import MAX_PLACES, Asked, Estimate, LibraryQueries, Name

SHORT_LIST: Final = 2_000
"""The length up to which a list is read to its end for one page."""
MAX_CANDIDATES: Final = 4_000
"""The number of items that are sorted for one page."""
MAX_RAREST: Final = 32_000
"""The number of items that an index of parts of words may have to compare for one page."""
WINDOWS: Final = (256, 768, 1_536)
"""The numbers of items read, one window after another, until the page is full."""
LEAST_OF_EACH: Final = 32
ESTIMATES_KEPT: Final = 1_000
ESTIMATE_LASTS: Final = timedelta(minutes=1)
MAX_GRAMS: Final = 24
MAX_WORDS: Final = 8
"""The number of different words of a query. Every item that is read is compared with all of them."""
ALL: Final = ("all",)
# Stand-ins for the lengths of lists whose length is not known, for comparison with known ones.
_LONG, _LONGER, _LONGEST, _ALL = 50_000, 200_000, 1 << 61, 1 << 62


@dataclass(frozen=True, slots=True)
class LibraryPage:
    """One page of the library. next_after: the position where the next page goes on; None on the last."""

    items: list[Item]
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class NamePage:
    """One page of names. next_after: the count and key of the last one; None on the last page."""

    names: Sequence[Name]
    next_after: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class _Page:
    """The request of a page. limit: the number of items to find, one more than are shown."""

    filters: Filters
    asked: Asked
    order: Order
    after: Position | None
    limit: int


class SearchLibrary:
    def __init__(self, library: LibraryQueries, *, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._estimates: OrderedDict[tuple[AccountId, str], tuple[datetime, Estimate | None]] = OrderedDict()

    async def __call__(
        self, filters: Filters, *, order: Order, after: Position | None, limit: int
    ) -> LibraryPage:
        asked = await self._library.asked(filters)
        if len(asked.words) > MAX_WORDS:
            raise _too_many_words()
        length, lists = await self._shortest(filters, asked, order)
        page = _Page(filters, asked, order, after, limit + 1)
        horizon: Position | None = None
        found = await self._few(page, lists) if length > SHORT_LIST else None
        if found is None:
            found, horizon = await self._look_through(page, lists)
        if len(found) > limit:
            horizon = found[limit - 1]
        return LibraryPage(await self._library.items(found[:limit]), horizon)

    async def names(
        self, owner_id: AccountId, kind: str, *, prefix: str, after: tuple[int, str] | None, limit: int
    ) -> NamePage:
        """Returns an account's tags or places: those with most items first; with a prefix, in alphabetical
        order.
        """
        if prefix:
            key = after[1] if after else ""
            found = await self._library.beginning(owner_id, kind, prefix=prefix, after=key, limit=limit + 1)
        else:
            found = await self._library.most_used(owner_id, kind, after=after, limit=limit + 1)
        page, last = cut_page(found, limit=limit)
        return NamePage(page, (last.item_count, last.key) if last else None)

    async def _shortest(self, filters: Filters, asked: Asked, order: Order) -> tuple[int, Sequence[str]]:
        """Returns the lists that contain all matches, each match once, and their approximate number
        of items.
        """
        known: list[tuple[int, Sequence[str]]] = [
            (count, (f"tag:{tag}",)) for tag, count in zip(asked.tags, asked.tag_counts, strict=True)
        ]
        if asked.place is not None and len(asked.places) <= MAX_PLACES:
            known.append((asked.place_count, [f"place:{place}" for place in asked.places]))
        if filters.gallery_id is not None:
            known.append((asked.gallery_count or 0, (f"gallery:{filters.gallery_id}",)))
        known.append((_ALL, ALL))
        shortest = min(known, key=lambda one: one[0])
        if shortest[0] <= SHORT_LIST:
            return shortest
        counted = [shortest]
        if cells := filters.cells:
            otherwise = _LONGEST if cells == (EVERY_PLACED,) else _LONG
            counted.append((await self._length(filters, cells, otherwise=otherwise), cells))
        if filters.kind is not None:
            kind = (f"kind:{filters.kind}",)
            counted.append((await self._length(filters, kind, otherwise=_LONGEST), kind))
        if months := await self._months(filters, order):
            counted.append((await self._length(filters, months, otherwise=_LONGER), months))
        return min(counted, key=lambda one: one[0])

    async def _months(self, filters: Filters, order: Order) -> tuple[str, ...]:
        """Returns the lists of months for a time span on the column that the page is not ordered by. A span
        on the ordering column needs no lists.
        """
        span = filters.span_of(order.other_column)
        if span == ALWAYS:
            return ()
        bounds = await self._library.bounds(filters.owner_id, order.other_column)
        if bounds.start is None or bounds.end is None:
            return ()
        after_all = bounds.end + timedelta(microseconds=1)
        start = max(span.start or bounds.start, bounds.start)
        end = min(span.end or after_all, after_all)
        return months_over(order.other_column, Span(start, max(start, end)))

    async def _length(self, filters: Filters, lists: Sequence[str], *, otherwise: int) -> int:
        each = max(LEAST_OF_EACH, SHORT_LIST // len(lists))
        count = await self._library.count(filters.owner_id, lists, most=each + 1)
        return count if count <= each else otherwise

    async def _few(self, page: _Page, lists: Sequence[str]) -> list[Position] | None:
        """Returns the matches if few items can match, so that reading in the page's order would help little;
        else None.
        """
        filters, asked, order = page.filters, page.asked, page.order
        grams = grams_of(asked.words)
        if grams and await self._are_rare(filters.owner_id, asked.words, grams):
            found = await self._library.with_grams(
                filters,
                asked,
                order=order,
                grams=grams,
                after=page.after,
                limit=page.limit,
                most=MAX_CANDIDATES,
            )
            if found is not None:
                return found
        span = filters.span_of(order.other_column)
        if span == ALWAYS:
            return None
        ids = await self._library.within(
            filters.owner_id, lists, column=order.other_column, span=span, most=MAX_CANDIDATES + 1
        )
        if len(ids) > MAX_CANDIDATES:
            return None
        return await self._library.among(
            filters, asked, order=order, ids=ids, after=page.after, limit=page.limit
        )

    async def _are_rare(self, owner_id: AccountId, words: Sequence[str], grams: Sequence[str]) -> bool:
        """Returns whether few items contain the words.

        The estimate is cached for a minute, because one search asks for page after page and its result
        changes little in that time. An estimate that takes too long is not repeated in that time either; then
        the list is read.
        """
        now = self._clock()
        key = (owner_id, " ".join(words))
        known = self._estimates.get(key)
        if known is None or abs(now - known[0]) > ESTIMATE_LASTS:
            self._estimates[key] = known = (now, None)
            with suppress(TimeoutError):
                known = now, await self._library.estimate(owner_id, grams, words=words)
            self._estimates[key] = known
            while len(self._estimates) > ESTIMATES_KEPT:
                self._estimates.popitem(last=False)
        estimate = known[1]
        if estimate is None:
            return False
        return estimate.rarest <= MAX_RAREST and estimate.matching <= MAX_CANDIDATES

    async def _look_through(
        self, page: _Page, lists: Sequence[str]
    ) -> tuple[list[Position], Position | None]:
        """Returns the matches, and the position up to which the list was read; None for its end."""
        found: list[Position] = []
        after = page.after
        for size in WINDOWS:
            window = await self._library.window(
                page.filters,
                page.asked,
                order=page.order,
                lists=lists,
                after=after,
                size=size,
                least=LEAST_OF_EACH,
                limit=page.limit - len(found),
            )
            found += window.found
            after = window.horizon
            if after is None or len(found) >= page.limit:
                break
        return found, after


def _too_many_words() -> ValidationFailed:
    message = f"at most {MAX_WORDS} different words"
    return ValidationFailed("Look at: q.", errors=(FieldError(field="q", code="invalid", message=message),))


def grams_of(words: Sequence[str]) -> list[str]:
    """Returns parts of the words of up to three characters. Every item that contains the words contains all
    parts; longer parts select better.
    """
    grams: dict[str, None] = {}
    for word in words:
        size = min(3, len(word))
        for start in range(len(word) - size + 1):
            grams[word[start : start + size]] = None
    return list(grams)[:MAX_GRAMS]
