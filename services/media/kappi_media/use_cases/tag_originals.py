"""Writes the facts of an item as tags on its original, where other readers of the bucket find them."""

from __future__ import annotations

import asyncio
from datetime import datetime

from kappi_chassis.observability.logs import get_logger
from kappi_chassis.storage import ObjectMissing, ObjectStore, StorageRefused, StorageUnavailable
from kappi_contracts.keys import original_key

from kappi_media import metrics
from kappi_media.domain.object_tags import TaggedFacts, TagsUnreadable, with_facts
from kappi_media.repository.tags import KnownItem, TagQueries

ATTEMPTS = 3
FIRST_PAUSE_S = 0.1

_log = get_logger(__name__)


class TagOriginal:
    """Writes tags on an original. Nothing depends on them: a failure is counted, and `python -m
    kappi_media.tagging write` repeats it.
    """

    def __init__(self, store: ObjectStore, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._store = store
        self._first_pause_s = first_pause_s

    async def __call__(self, key: str, facts: TaggedFacts) -> bool:
        """Returns whether the object has the tags now. Other tags stay."""
        pause_s = self._first_pause_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._write(key, facts)
            except StorageUnavailable as error:
                if attempt == ATTEMPTS:
                    return _failed(key, error)
                await asyncio.sleep(pause_s)
                pause_s *= 2
            except (ObjectMissing, StorageRefused, TagsUnreadable) as error:
                return _failed(key, error)
            else:
                break
        metrics.TAGS_WRITTEN.labels("written").inc()
        return True

    async def _write(self, key: str, facts: TaggedFacts) -> None:
        wanted = with_facts(await self._store.tags(key), facts)
        if wanted is not None:
            await self._store.set_tags(key, wanted)


class TagAllOriginals:
    def __init__(self, tags: TagQueries, *, tag: TagOriginal, parallel: int = 8) -> None:
        self._tags = tags
        self._tag = tag
        self._slots = asyncio.Semaphore(parallel)

    async def __call__(self, *, since: datetime | None = None) -> tuple[int, int]:
        """Tag every ready original that was reserved since the instant, or all. Returns the numbers tagged
        and failed.
        """
        tagged = failed = 0
        async for page in self._tags.known(since=since):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(item)) for item in page]
            done = sum(task.result() for task in tasks)
            tagged += done
            failed += len(tasks) - done
        return tagged, failed

    async def _one(self, item: KnownItem) -> bool:
        facts = TaggedFacts(item.kind, item.width, item.height, item.duration_ms)
        async with self._slots:
            return await self._tag(original_key(item.gallery_id, item.id, item.folder), facts)


def _failed(key: str, error: Exception) -> bool:
    metrics.TAGS_WRITTEN.labels("failed").inc()
    _log.warning("tags.not_written", key=key, error=str(error), error_type=type(error).__name__)
    return False
