"""What operators ask without the service running: with the database's address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kappi_chassis.db import Database

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.galleries import GalleryQueries

_POOL_SIZE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingGalleries:
    """Galleries whose deadline lies in a span of time. first: some of them, the earliest first."""

    count: int
    first: list[Gallery]


async def ending_galleries(
    database_url: str, *, after: datetime, until: datetime, limit: int
) -> EndingGalleries:
    """Those that live and whose deadline is later than `after` and not later than `until`."""
    database = Database(database_url, pool_size=_POOL_SIZE)
    await database.start()
    try:
        queries = GalleryQueries(database)
        return EndingGalleries(
            count=await queries.count_ending(after=after, until=until),
            first=await queries.ending(after=after, until=until, limit=limit),
        )
    finally:
        await database.close()
