"""Queries that an operator runs with the database's address, without the running service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kappi_chassis.db import Database

from kappi_galleries.domain.galleries import Gallery
from kappi_galleries.repository.galleries import GalleryQueries

_POOL_SIZE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingGalleries:
    """The galleries whose deadline lies in a span of time. count: all of them. first: some of them, the
    earliest deadline first.
    """

    count: int
    first: list[Gallery]


async def ending_galleries(
    database_url: str, *, after: datetime, until: datetime, limit: int
) -> EndingGalleries:
    """Returns the living galleries whose deadline is later than `after` and not later than `until`."""
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
