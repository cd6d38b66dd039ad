"""Finds the gallery of an item, an upload or a link."""

from __future__ import annotations

from typing import Literal, NamedTuple
from uuid import UUID

from kappi_chassis.db import Database

Collection = Literal["media", "uploads", "links"]

# An item's upload is declared first, so `media` also finds items whose upload is not completed.
_HOMES: dict[Collection, str] = {
    "media": "SELECT gallery_id, media_id FROM uploads WHERE media_id = $1",
    "uploads": "SELECT gallery_id, media_id FROM uploads WHERE id = $1",
    "links": "SELECT gallery_id, media_id FROM links WHERE id = $1",
}


class Home(NamedTuple):
    """The gallery of a thing, and its item, of which the gateway is usually asked next."""

    gallery_id: UUID
    media_id: UUID


class GalleryLookupQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def home_of(self, collection: Collection, thing_id: UUID) -> Home | None:
        """Returns None when there is no such thing. Only a move of the item changes the gallery."""
        record = await self._database.hot.fetchrow(_HOMES[collection], thing_id)
        return None if record is None else Home._make(record)
