"""The download of a whole gallery as one archive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from kappi_chassis.storage import ObjectStore

from kappi_media import metrics
from kappi_media.archive.checksums import ChecksumLedger
from kappi_media.archive.conditions import Outcome
from kappi_media.archive.layout import ArchiveFile, ArchiveLayout
from kappi_media.archive.reading import READS_AHEAD, Blocks
from kappi_media.archive.streaming import ArchiveStream
from kappi_media.domain.contributions import NO_CONTRIBUTOR, ContributorId
from kappi_media.domain.media import GalleryId
from kappi_media.domain.tiers import TierRules
from kappi_media.errors import ArchiveBusy, ArchiveEmpty, GalleryNotFound, OriginalNotInTier
from kappi_media.repository.archive import ArchiveQueries
from kappi_media.repository.view import ViewQueries
from kappi_media.use_cases.gps_free import GpsFreeCopies

LAID_OUT_AT_ONCE = 1_000
"""The number of files above which an archive is laid out on a thread: it takes about 20 µs per file."""
BUSY_RETRY_AFTER_S = 5


class Archives:
    """Sends archives of galleries, at most `at_once` at the same time.

    store: gets connections of its own, because archive reads may keep it busy for minutes. window_bytes: the
    approximate memory of one archive.
    """

    def __init__(
        self,
        queries: ArchiveQueries,
        *,
        view: ViewQueries,
        copies: GpsFreeCopies,
        store: ObjectStore,
        at_once: int,
        window_bytes: int,
    ) -> None:
        self._queries = queries
        self._view = view
        self._copies = copies
        self._ledger = ChecksumLedger(queries.save)
        self._blocks = Blocks(store, size_bytes=window_bytes // READS_AHEAD)
        self._at_once = at_once
        self._running = 0

    async def lay_out(
        self, gallery_id: GalleryId, *, rules: TierRules, only_of: ContributorId | None
    ) -> ArchiveLayout:
        """Returns the layout of a gallery's archive. only_of: the contributor whose items alone are in it;
        None for all items.

        Raises GalleryNotFound when the gallery is deleted, OriginalNotInTier, ArchiveEmpty.
        """
        return await self._lay_out(gallery_id, self._queries.files, rules=rules, only_of=only_of)

    async def lay_out_location_free(
        self, gallery_id: GalleryId, *, rules: TierRules, only_of: ContributorId | None
    ) -> ArchiveLayout:
        """As `lay_out`, of copies without the place where the originals were made.

        A file whose place cannot be removed is left out. Also raises LocationFreePending while some copies
        are still being made, and StoreUnavailable.
        """
        if rules.original_access and only_of != NO_CONTRIBUTOR:
            await self._copies.all_of(gallery_id, only_of=only_of)
        files_of = self._queries.location_free_files
        return await self._lay_out(gallery_id, files_of, rules=rules, only_of=only_of)

    async def _lay_out(
        self,
        gallery_id: GalleryId,
        files_of: Callable[[GalleryId, ContributorId | None], Awaitable[list[ArchiveFile]]],
        *,
        rules: TierRules,
        only_of: ContributorId | None,
    ) -> ArchiveLayout:
        if not rules.original_access:
            raise OriginalNotInTier("An archive is made of originals. Renditions are available.")
        files = await files_of(gallery_id, only_of) if only_of != NO_CONTRIBUTOR else []
        if not files:
            if (await self._view.contents(gallery_id)).deleted:
                raise GalleryNotFound
            raise ArchiveEmpty("Items that are still being processed are not in it yet.")
        if len(files) > LAID_OUT_AT_ONCE:
            return await asyncio.to_thread(ArchiveLayout, files)
        return ArchiveLayout(files)

    def stream(self, layout: ArchiveLayout, outcome: Outcome) -> ArchiveStream:
        """Returns the stream of the bytes that `outcome` selects."""
        return ArchiveStream(
            layout, first=outcome.first, last=outcome.last, blocks=self._blocks, ledger=self._ledger
        )

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds one of the slots for sending archives while the body runs. Raises ArchiveBusy."""
        if self._running >= self._at_once:
            metrics.ARCHIVES.labels("busy").inc()
            raise ArchiveBusy("Try again in a moment.", retry_after_s=BUSY_RETRY_AFTER_S)
        self._running += 1
        metrics.ARCHIVES_RUNNING.inc()
        try:
            yield
        finally:
            self._running -= 1
            metrics.ARCHIVES_RUNNING.dec()

    async def close(self) -> None:
        """Save the checksums that were computed."""
        await self._ledger.close()
