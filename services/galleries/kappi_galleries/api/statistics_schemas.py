"""The HTTP response bodies of statistics."""

from __future__ import annotations

import datetime
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from kappi_galleries.domain.statistics import Sums
from kappi_galleries.use_cases.statistics import Shown

Kinds = Annotated[
    dict[str, int],
    Field(
        description="Accesses by kind: `view`, `item_view`, `preview`, `download`, `archive`, `link`. More "
        "kinds may be added",
        examples=[{"view": 12, "download": 3}],
    ),
]
Languages = Annotated[
    dict[str, int],
    Field(
        description="Views by the first language of `Accept-Language`: two letters, `other` or `unknown`",
        examples=[{"de": 10, "other": 5}],
    ),
]
Roles = Annotated[
    dict[str, int],
    Field(
        description="Views by role: `admin`, `user`, `anonymous`, `other`",
        examples=[{"anonymous": 15}],
    ),
]
Apps = Annotated[
    dict[str, int],
    Field(description="Views by family of `User-Agent`", examples=[{"safari": 10, "other": 5}]),
]


class AccessSums(BaseModel):
    """The numbers of accesses. Each list counts all accesses by one trait; the traits are not crossed."""

    count: int = Field(description="The number of accesses of all kinds")
    kinds: Kinds
    languages: Languages
    roles: Roles
    apps: Apps


class DaySums(AccessSums):
    """The accesses of a UTC day."""

    day: datetime.date


class ItemSums(BaseModel):
    """The accesses to an item."""

    media_id: UUID
    count: int
    kinds: Kinds


class TotalStatsAnswer(BaseModel):
    """The accesses to all galleries. Days without an access are left out."""

    from_: datetime.date = Field(alias="from")
    to: datetime.date
    totals: AccessSums
    days: list[DaySums]

    @classmethod
    def of(cls, shown: Shown) -> TotalStatsAnswer:
        return cls(**_of_days(shown))


class GalleryStatsAnswer(TotalStatsAnswer):
    """The accesses to one gallery. Language, role and app are counted in steps per day, after the day is
    over, and the remainder as `other`, so that a rare value identifies no viewer."""

    items: list[ItemSums] = Field(description="The hundred most accessed items, the most accessed first")

    @classmethod
    def of(cls, shown: Shown) -> GalleryStatsAnswer:
        return cls(
            **_of_days(shown),
            items=[
                _item(media_id, {count.kind: count.times for count in counts})
                for media_id, counts in groupby(shown.items, key=lambda count: count.media_id)
            ],
        )


def _item(media_id: UUID, kinds: dict[str, int]) -> ItemSums:
    return ItemSums(media_id=media_id, count=sum(kinds.values()), kinds=kinds)


def _of_days(shown: Shown) -> dict[str, Any]:
    return {
        "from": shown.days.first,
        "to": shown.days.last,
        "totals": AccessSums(**_fields(shown.totals)),
        "days": [DaySums(day=day, **_fields(sums)) for day, sums in shown.by_day],
    }


def _fields(sums: Sums) -> dict[str, Any]:
    return {
        "count": sums.total,
        "kinds": sums.kinds,
        "languages": sums.languages,
        "roles": sums.roles,
        "apps": sums.apps,
    }
