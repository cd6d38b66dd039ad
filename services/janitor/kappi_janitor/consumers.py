"""Which event leads to which use case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kappi_chassis.bus.processor import Handler
from kappi_chassis.inbox import once
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope

from kappi_janitor.due_dates import RecordDueDate, RecordDueLink
from kappi_janitor.purge_requests import RequestPurge
from kappi_janitor.sweep import Sweep

GROUP = "janitor"


def handlers(
    outbox: Outbox,
    *,
    record_due_date: RecordDueDate,
    record_due_link: RecordDueLink,
    order_purge: RequestPurge,
    sweep: Sweep,
    wake_purger: Callable[[], None],
) -> Mapping[str, Handler]:
    """By topic, as a Processor wants them."""

    def then_purge(handler: Handler) -> Handler:
        async def handle(envelope: Envelope[Any]) -> bool:
            news = await handler(envelope)
            if news:
                wake_purger()
            return news

        return handle

    delete_gallery = once(outbox, consumer=GROUP, effect=order_purge.of_gallery)
    delete_media = once(outbox, consumer=GROUP, effect=order_purge.of_media)
    delete_post = once(outbox, consumer=GROUP, effect=order_purge.of_post)
    delete_folder = once(outbox, consumer=GROUP, effect=order_purge.of_folder)
    return {
        "JanitorTick": sweep,
        "GalleryCreated": record_due_date,
        "GalleryUpdated": record_due_date,
        "LinkCreated": record_due_link,
        "GalleryDeleted": then_purge(delete_gallery),
        "MediaDeleted": then_purge(delete_media),
        "MediaRejected": then_purge(delete_media),
        "ObjectsUnused": then_purge(delete_folder),
        "PostDeleted": then_purge(delete_post),
    }
