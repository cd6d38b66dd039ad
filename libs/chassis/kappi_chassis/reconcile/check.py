"""The contract of a check, and the join of two sorted pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar
from uuid import UUID

Mine = TypeVar("Mine")
Theirs = TypeVar("Theirs")

PAGE = 1_000
"""Greatest number of rows or objects that a check reads from one side at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference. kind: from the check's closed list. subject: the key or id that it is about."""

    kind: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The result of comparing one page. after: where the next page begins; None after the last page.
    examined: number of compared rows or objects. Differences lie before `after`.
    """

    after: str | None
    examined: int
    differences: Sequence[Difference]


class Check(Protocol):
    """Compares two sorted sides, page by page. Positions are texts that sort like the pages."""

    kinds: ClassVar[Sequence[str]]
    """All kinds of differences."""

    async def page(self, after: str) -> Page:
        """Returns the differences of the page that follows a position; '' is the beginning."""
        ...

    async def repair(self, difference: Difference) -> bool:
        """Repairs one difference, after looking again whether it exists. Returns False if nothing was
        changed: it is gone, or must not be repaired yet.
        """
        ...


def start_of(after: str) -> UUID:
    """Returns the id that a position names; the smallest one for the beginning."""
    return UUID(after) if after else UUID(int=0)


def joined(
    mine: Mapping[UUID, Mine], theirs: Mapping[UUID, Theirs], *, limit: int
) -> tuple[list[tuple[UUID, Mine | None, Theirs | None]], str | None]:
    """Returns the rows of two pages side by side, in the order of ids, and where the next page begins.

    mine, theirs: pages in the order of ids after one position. A page of `limit` rows may have successors, so
    rows of the other page behind its last one are left for the next time.
    """
    ends = [max(rows) for rows in (mine, theirs) if len(rows) >= limit]
    end = min(ends, default=None)
    ids = sorted(mine.keys() | theirs.keys())
    rows = [(each, mine.get(each), theirs.get(each)) for each in ids if end is None or each <= end]
    return rows, None if end is None else str(end)
