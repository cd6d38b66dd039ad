"""Use case: keep the deadlines of galleries, in whatever order the news of them comes."""

from __future__ import annotations

from typing import Any

from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryCreated, GalleryUpdated

from kappi_janitor import metrics, repository


class RecordDueDate:
    """Handles GalleryCreated and GalleryUpdated.

    Needs no inbox: the gallery's sequence tells a duplicate, and an event that was overtaken, from news.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """False when the event was a duplicate, overtaken, or its gallery is deleted."""
        event: GalleryCreated | GalleryUpdated = envelope.data
        async with self._database.transaction() as connection:
            news = await repository.record_due_date(
                connection,
                gallery_id=event.gallery_id,
                expires_at=event.expires_at,
                sequence=envelope.sequence,
            )
        metrics.DUE_DATES.labels("recorded" if news else "outdated").inc()
        return news
