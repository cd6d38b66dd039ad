"""Use case: keep the deadlines of galleries and expiring links, in whatever order the news of them comes."""

from __future__ import annotations

from typing import Any

from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryCreated, GalleryUpdated, LinkCreated

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


class RecordDueLink:
    """Handles LinkCreated.

    Needs no inbox: a link's deadline never moves, so whatever is known of a link already is all there is. Its
    row outlives the claim, lest a duplicate that comes late leads to another one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """False when the event was a duplicate."""
        event: LinkCreated = envelope.data
        async with self._database.transaction() as connection:
            news = await repository.record_due_link(
                connection,
                link_id=event.link_id,
                media_id=event.media_id,
                expires_at=event.expires_at,
                sequence=envelope.sequence,
            )
        metrics.DUE_LINKS.labels("recorded" if news else "outdated").inc()
        return news
