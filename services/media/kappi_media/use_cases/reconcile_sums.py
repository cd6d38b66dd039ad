"""Compares charges of accounts and item counts with the rows that they are sums of (ADR-0064)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import UUID

from kappi_chassis.reconcile import Difference, Page
from kappi_chassis.reconcile.check import start_of

from kappi_media.repository.reconcile_sums import ACCOUNTS, GALLERIES, SumQueries


class ReconcileCharges:
    """A check of what accounts are charged, which their quotas limit."""

    kinds: ClassVar[Sequence[str]] = ("charge_wrong",)

    def __init__(self, sums: SumQueries) -> None:
        self._sums = sums

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        return _page(await self._sums.accounts(start_of(after)), kind="charge_wrong", limit=ACCOUNTS)

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        return await self._sums.mend_account(UUID(difference.subject))


class ReconcileItemCounts:
    """A check of the numbers of items that galleries show."""

    kinds: ClassVar[Sequence[str]] = ("item_count_wrong",)

    def __init__(self, sums: SumQueries) -> None:
        self._sums = sums

    async def page(self, after: str) -> Page:
        """See `Check.page`."""
        return _page(await self._sums.galleries(start_of(after)), kind="item_count_wrong", limit=GALLERIES)

    async def repair(self, difference: Difference) -> bool:
        """See `Check.repair`."""
        return await self._sums.mend_gallery(UUID(difference.subject))


def _page(rows: Mapping[UUID, bool], *, kind: str, limit: int) -> Page:
    wrong = [Difference(kind=kind, subject=str(each)) for each, is_wrong in rows.items() if is_wrong]
    after = str(max(rows)) if len(rows) == limit else None
    return Page(after=after, examined=len(rows), differences=wrong)
