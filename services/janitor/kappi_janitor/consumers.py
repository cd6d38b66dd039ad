"""The use case of each event."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import Clock, NewId
from kappi_chassis.db import Database
from kappi_chassis.inbox import BatchEffect, once_together
from kappi_chassis.outbox import Outbox

from kappi_janitor.use_cases.due_dates import RecordDueDate, RecordDueLink
from kappi_janitor.use_cases.request_purge import (
    PurgeDeletedGallery,
    PurgeDeletedMedia,
    PurgeDeletedPost,
    PurgeUnusedFolder,
)

GROUP = "janitor"
TICK_GROUP = "janitor-tick"
"""The ticks have a group of their own, because the embedded broker gives all partitions of a group to one
member.
"""


def handlers(
    database: Database, outbox: Outbox, *, clock: Clock, new_id: NewId, wake_purger: Callable[[], None]
) -> Mapping[str, Handler]:
    """Returns the handlers by topic, without the handler of ticks."""

    def then_purge(effect: BatchEffect) -> Handler:
        return once_together(outbox, consumer=GROUP, effect=effect, then=wake_purger)

    record_due_date = RecordDueDate(database)
    purge_media = then_purge(PurgeDeletedMedia(clock=clock, new_id=new_id))
    return {
        "GalleryCreated": record_due_date,
        "GalleryUpdated": record_due_date,
        "LinkCreated": RecordDueLink(database),
        "GalleryDeleted": then_purge(PurgeDeletedGallery(clock=clock, new_id=new_id)),
        "MediaDeleted": purge_media,
        "MediaRejected": purge_media,
        "ObjectsUnused": then_purge(PurgeUnusedFolder(clock=clock, new_id=new_id)),
        "PostDeleted": then_purge(PurgeDeletedPost(clock=clock, new_id=new_id)),
    }
