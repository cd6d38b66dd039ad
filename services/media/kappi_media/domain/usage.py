"""The items and bytes that an account stores, as shown to its owner."""

from __future__ import annotations

from datetime import date

import msgspec


class AmountView(msgspec.Struct, frozen=True, kw_only=True):
    """Items and the bytes of their originals."""

    item_count: int
    size_bytes: int


class UsageView(AmountView, frozen=True, kw_only=True):
    """Items by kind (`image`, `video`) and by media type. Rejected ones do not count."""

    kinds: dict[str, AmountView]
    types: dict[str, AmountView]


class DayUsageView(UsageView, frozen=True, kw_only=True):
    """The items that were uploaded on a day and still exist."""

    day: date


class QuotaView(msgspec.Struct, frozen=True, kw_only=True):
    """The use of the quota. used_bytes: by items. reserved_bytes: by uploads under way. limit_bytes: null for
    no limit.
    """

    used_bytes: int
    reserved_bytes: int
    limit_bytes: int | None


class AccountStats(msgspec.Struct, frozen=True, kw_only=True):
    """The use of an account. totals: of the days of the range; library: of all days. Days without an upload
    are left out.
    """

    from_: date = msgspec.field(name="from")
    to: date
    totals: UsageView
    days: list[DayUsageView]
    library: UsageView
    quota: QuotaView
