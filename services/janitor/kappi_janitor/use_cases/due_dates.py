"""Stores the deadlines of galleries and expiring links, in any order of their events."""

from __future__ import annotations

from typing import Any

from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryCreated, GalleryUpdated, LinkCreated

from kappi_janitor import metrics
from kappi_janitor.repository import due_galleries, due_links


class RecordDueDate:
    """The handler of GalleryCreated and GalleryUpdated.

    It needs no inbox: the gallery's sequence reveals a duplicate and an outdated event.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False when the event is a duplicate or outdated, or when its gallery is deleted."""
        event: GalleryCreated | GalleryUpdated = envelope.data
        async with self._database.transaction() as connection:
            news = await due_galleries.record_due_date(
                connection,
                gallery_id=event.gallery_id,
                expires_at=event.expires_at,
                sequence=envelope.sequence,
            )
        metrics.DUE_DATES.labels("recorded" if news else "outdated").inc()
        return news


class RecordDueLink:
    """The handler of LinkCreated.

    It needs no inbox: a link's deadline never moves, so the first event is enough. The row is kept after the
    claim, so that a late duplicate does not lead to a second claim.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False when the event is a duplicate."""
        event: LinkCreated = envelope.data
        async with self._database.transaction() as connection:
            news = await due_links.record_due_link(
                connection,
                link_id=event.link_id,
                media_id=event.media_id,
                expires_at=event.expires_at,
                sequence=envelope.sequence,
            )
        metrics.DUE_LINKS.labels("recorded" if news else "outdated").inc()
        return news
