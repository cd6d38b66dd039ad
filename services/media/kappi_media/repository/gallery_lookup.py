"""Finds the gallery of an item, an upload or a link."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from kappi_chassis.db import Database

Collection = Literal["media", "uploads", "links"]

# An item's upload is declared first, so `media` also finds items whose upload is not completed.
_HOMES: dict[Collection, str] = {
    "media": "SELECT gallery_id FROM uploads WHERE media_id = $1",
    "uploads": "SELECT gallery_id FROM uploads WHERE id = $1",
    "links": "SELECT gallery_id FROM links WHERE id = $1",
}


class GalleryLookupQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def gallery_of(self, collection: Collection, thing_id: UUID) -> UUID | None:
        """Returns the gallery; None when there is no such thing. Only a move of the item changes it."""
        found: UUID | None = await self._database.hot.fetchval(_HOMES[collection], thing_id)
        return found
