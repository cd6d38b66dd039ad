"""Fills the facts of an original from its object's tags before the worker has processed it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from kappi_chassis.clock import Clock
from kappi_chassis.observability.logs import get_logger
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageRefused, StorageUnavailable
from kappi_contracts.keys import original_key

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, Item, MediaId
from kappi_media.domain.object_tags import TaggedFacts, TagsUnreadable, facts_of
from kappi_media.repository.tags import TagQueries

PARALLEL = 16
LOOKS_AT_ONCE = 8
REMEMBERED = 20_000

_log = get_logger(__name__)


class FactsFromTags:
    """Reads facts from objects' tags. retry_after: how long a look-up that found nothing is not repeated, by
    any replica.
    """

    def __init__(
        self,
        tags: TagQueries,
        *,
        store: ObjectStore,
        clock: Clock,
        retry_after: timedelta,
        parallel: int = PARALLEL,
    ) -> None:
        self._tags = tags
        self._store = store
        self._clock = clock
        self._slots = asyncio.Semaphore(parallel)
        self.retry_after = retry_after

    async def fill(self, media_ids: Sequence[MediaId]) -> set[MediaId]:
        """Read the tags of the items that wait for their facts and were not looked up lately. Returns the
        items that were filled.

        A filled item stays `processing`: only the worker confirms that a file is what it was declared as. A
        store that does not answer, or has no tags, counts as a look-up that found nothing.
        """
        now = self._clock()
        claimed = await self._tags.lease(media_ids, now=now, missed_before=now - self.retry_after)
        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(self._look(media_id, home)) for media_id, home in claimed]
        found: defaultdict[GalleryId, dict[MediaId, TaggedFacts]] = defaultdict(dict)
        for (media_id, gallery_id), look in zip(claimed, looks, strict=True):
            if (facts := look.result()) is not None:
                found[gallery_id][media_id] = facts
        filled: set[MediaId] = set()
        for gallery_id, told in found.items():
            filled |= await self._tags.fill(gallery_id, told)
        return filled

    async def fill_all(self, *, since: datetime | None = None) -> int:
        """As `fill`, for every item reserved since the instant, or for all items. Returns the number of
        filled items.
        """
        filled = 0
        async for media_ids in self._tags.waiting(since=since):
            filled += len(await self.fill(media_ids))
        return filled

    async def _look(self, media_id: MediaId, gallery_id: GalleryId) -> TaggedFacts | None:
        try:
            async with self._slots:
                tags = await self._store.tags(original_key(gallery_id, media_id))
            facts = facts_of(tags)
        except ObjectMissing:
            facts, outcome = None, "missing"
        except StorageUnavailable:
            facts, outcome = None, "unavailable"
        except StorageRefused as error:
            _log.warning("tags.refused", media_id=str(media_id), error=str(error))
            facts, outcome = None, "refused"
        except TagsUnreadable as error:
            _log.warning("tags.unreadable", media_id=str(media_id), tag=str(error))
            facts, outcome = None, "unreadable"
        else:
            outcome = "none" if facts is None else "found"
        metrics.TAG_LOOKS.labels(outcome).inc()
        return facts


class FactsOnRead:
    """Fills the items that are about to be shown, without making a reader wait long for the store.

    timeout: how long an answer is held back. A look-up that takes longer goes on; the next reader sees what
    it found.
    """

    def __init__(self, facts: FactsFromTags, *, timeout: timedelta) -> None:
        self._facts = facts
        self._timeout_s = timeout.total_seconds()
        self._holds_s = facts.retry_after.total_seconds()
        self._looked_at: OrderedDict[MediaId, float] = OrderedDict()
        self._looking: set[asyncio.Task[set[MediaId]]] = set()

    async def __call__(self, items: Iterable[Item]) -> bool:
        """Returns whether any of the items changed, so that they are to be read again."""
        waiting = [item.id for item in items if item.status == "processing" and item.width is None]
        if not waiting or len(self._looking) >= LOOKS_AT_ONCE:
            return False
        unseen = self._not_looked_at(waiting)
        if not unseen:
            return False
        task = asyncio.create_task(self._facts.fill(unseen), name="facts-on-read")
        self._looking.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task,), timeout=self._timeout_s)
        return task.done() and not task.cancelled() and task.exception() is None and bool(task.result())

    async def close(self) -> None:
        """Cancel the running look-ups."""
        looking = list(self._looking)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    def _not_looked_at(self, media_ids: Sequence[MediaId]) -> list[MediaId]:
        """Returns the items that this process did not look up lately. A page of items in processing is built
        often; with this memory it queries the database once.
        """
        now = time.monotonic()
        unseen = [id_ for id_ in media_ids if now - self._looked_at.get(id_, -self._holds_s) >= self._holds_s]
        for media_id in unseen:
            self._looked_at[media_id] = now
            self._looked_at.move_to_end(media_id)
        while len(self._looked_at) > REMEMBERED:
            self._looked_at.popitem(last=False)
        return unseen

    def _ended(self, task: asyncio.Task[set[MediaId]]) -> None:
        self._looking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The answer is correct without these facts.
            _log.warning("tags.not_looked_at", error=str(error), error_type=type(error).__name__)
