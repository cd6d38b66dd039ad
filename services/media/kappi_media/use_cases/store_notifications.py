"""Completes uploads whose bytes arrived but whose client did not complete them.

One place defines what completing means, and the client's own request uses it too: of any number of concurrent
calls, one makes the item and publishes it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from kappi_chassis.problems import Problem, Unavailable

from kappi_media import metrics
from kappi_media.domain.media import GalleryId, Item, UploadId
from kappi_media.domain.store_events import Arrival
from kappi_media.errors import ContentMismatch, StoreUnavailable, UploadIncomplete
from kappi_media.repository.arrivals import ArrivalQueries, KnownUpload

Outcome = Literal["completed", "repeated", "incomplete", "mismatch", "gone", "unknown", "unavailable"]
Way = Literal["webhook", "kafka", "sweep"]

PARALLEL = 8


class Complete(Protocol):
    async def __call__(self, upload_id: UploadId, gallery_id: GalleryId) -> Item | None: ...

    async def stored(self, upload_id: UploadId, gallery_id: GalleryId) -> Item | None: ...


_CompleteOne = Callable[[UploadId, GalleryId], Awaitable[Item | None]]


class CompleteArrivals:
    """Completes uploads from the store's notifications. parallel: uploads checked in the store at once, per
    call.
    """

    def __init__(self, arrivals: ArrivalQueries, *, complete: Complete, parallel: int = PARALLEL) -> None:
        self._arrivals = arrivals
        self._complete = complete
        self._parallel = parallel

    async def __call__(self, told: Sequence[Arrival], *, way: Way) -> Mapping[Outcome, int]:
        """Returns the number of originals per outcome. Repeating it, in any order, changes nothing more.

        Raises StoreUnavailable after everything possible is done: the message is to be delivered again.
        """
        uploads = await self._arrivals.uploads_of({arrival.media_id for arrival in told})
        known = {(upload.gallery_id, upload.media_id, upload.role): upload for upload in uploads}
        found = [known.get((GalleryId(each.gallery_id), each.media_id, each.role)) for each in told]
        uploads = [upload for upload in found if upload is not None]
        outcomes = await self._end(uploads, self._complete.stored)
        outcomes["unknown"] += found.count(None)
        return _counted(outcomes, way)

    async def overlooked(self, as_of: datetime, *, older_than: timedelta) -> int:
        """Complete uploads reserved `older_than` before `as_of` whose notification did not arrive.

        Parts are joined only if the sweep of this tick would remove the upload otherwise: until then the
        client may still be sending. A list of parts does not show that they are whole, and the client's ETags
        are not available here to compare with. ADR-0017. Returns the number of completed uploads. Raises
        StoreUnavailable after the rest were checked.
        """
        outcomes: Counter[Outcome] = Counter()
        async for page in self._arrivals.pending_since_before(as_of - older_than):
            over = [upload for upload in page if upload.expires_at < as_of]
            outcomes.update(await self._end(over, self._complete))
            still_open = [upload for upload in page if upload.expires_at >= as_of]
            outcomes.update(await self._end(still_open, self._complete.stored))
        # The files of most of them have simply not been sent yet.
        outcomes["incomplete"] = 0
        return _counted(outcomes, "sweep")["completed"]

    async def _end(self, uploads: Iterable[KnownUpload], complete: _CompleteOne) -> Counter[Outcome]:
        slots = asyncio.Semaphore(self._parallel)

        async def one(upload: KnownUpload) -> Outcome:
            async with slots:
                return await _outcome(upload, complete)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(upload)) for upload in uploads]
        except ExceptionGroup as failures:
            # An unavailable database fails all of them alike. A single error, outside a group, is recognised
            # as transient.
            raise failures.exceptions[0] from failures
        return Counter(task.result() for task in tasks)


async def _outcome(upload: KnownUpload, complete: _CompleteOne) -> Outcome:
    if upload.state != "pending":
        return "repeated"
    try:
        await complete(upload.id, upload.gallery_id)
    except UploadIncomplete:
        return "incomplete"
    except ContentMismatch:
        return "mismatch"
    except Unavailable:
        return "unavailable"
    except Problem:
        return "gone"
    return "completed"


def _counted(outcomes: Counter[Outcome], way: Way) -> Counter[Outcome]:
    for outcome, number in outcomes.items():
        metrics.STORE_EVENTS.labels(way, outcome).inc(number)
    if outcomes["unavailable"]:
        raise StoreUnavailable("The store cannot be looked at: send this again.", retry_after_s=5)
    return outcomes
