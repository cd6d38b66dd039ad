"""Stores the deadlines of galleries and expiring links, in any order of their events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kappi_chassis.db import Database
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import GalleryCreated, GalleryUpdated, LinkCreated

from kappi_janitor import metrics
from kappi_janitor.repository import due_galleries, due_links


class RecordDueDate:
    """The handler of GalleryCreated and GalleryUpdated. Many events are one statement.

    It needs no inbox: the gallery's sequence reveals a duplicate and an outdated event.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False when the event is a duplicate or outdated, or when its gallery is deleted."""
        (is_news,) = await self.handle_all([envelope])
        return is_news

    async def handle_all(
        self, envelopes: Sequence[Envelope[GalleryCreated] | Envelope[GalleryUpdated]]
    ) -> Sequence[bool]:
        """Returns for each event what a call with it would return. Source: BatchHandler."""
        dates = [
            due_galleries.DueDate(each.data.gallery_id, each.data.expires_at, each.sequence)
            for each in envelopes
        ]
        news = await due_galleries.record_due_dates(self._database, dates)
        _count(metrics.DUE_DATES, news)
        return news


class RecordDueLink:
    """The handler of LinkCreated. Many events are one statement.

    It needs no inbox: a link's deadline never moves, so the first event is enough. The row is kept after the
    claim, so that a late duplicate does not lead to a second claim.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, envelope: Envelope[Any]) -> bool:
        """Returns False when the event is a duplicate."""
        (is_news,) = await self.handle_all([envelope])
        return is_news

    async def handle_all(self, envelopes: Sequence[Envelope[LinkCreated]]) -> Sequence[bool]:
        """Returns for each event what a call with it would return. Source: BatchHandler."""
        links = [
            due_links.DueLink(each.data.link_id, each.data.media_id, each.data.expires_at, each.sequence)
            for each in envelopes
        ]
        news = await due_links.record_due_links(self._database, links)
        _count(metrics.DUE_LINKS, news)
        return news


def _count(counter: Any, news: Sequence[bool]) -> None:
    counter.labels("recorded").inc(sum(news))
    counter.labels("outdated").inc(len(news) - sum(news))
