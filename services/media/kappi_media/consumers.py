"""Which event has which effect here. Two groups: a flood of uploads never delays a deletion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from kappi_chassis.bus.external_topic import ForeignHandler, ForeignRecord
from kappi_chassis.bus.processor import Handler, Poison, Transient
from kappi_chassis.clock import Clock
from kappi_chassis.inbox import Effect, once
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick, UploadCompleted

from kappi_media import metrics
from kappi_media.domain.store_events import UnreadableStoreEvent, read_message
from kappi_media.errors import StoreUnavailable
from kappi_media.use_cases.lifecycle import SweepAbandonedUploads, clear_link, forget_gallery, note_change
from kappi_media.use_cases.post_pictures import forget_picture
from kappi_media.use_cases.process_upload import UploadWorker, queue_upload
from kappi_media.use_cases.projection import note_account_deletion, note_account_tier, note_tier
from kappi_media.use_cases.store_notifications import CompleteArrivals

GROUP = "media"
STORE_GROUP = "media-store-events"
WORKER_GROUP: Final = "media-worker"

__all__ = ["GROUP", "STORE_GROUP", "WORKER_GROUP", "handlers", "store_handler", "worker_handlers"]

BeforeSweep = Callable[[datetime], Awaitable[None]]


def handlers(outbox: Outbox, *, on_tick_first: Sequence[BeforeSweep] = ()) -> Mapping[str, Handler]:
    """By topic: what ends things, who owns them, and what their tier allows.

    on_tick_first: called with a tick's instant before its sweep; what they raise puts the sweep off.
    """
    sweep = SweepAbandonedUploads(outbox)

    async def on_tick(envelope: Envelope[JanitorTick]) -> bool:
        with _tried_again():
            for step in on_tick_first:
                await step(envelope.data.at)
        # Many transactions, each of which finds only what is left: no inbox record would make it safer.
        await sweep(envelope.data.at)
        return True

    effects: Mapping[str, Effect] = {
        "AccountCreated": note_account_tier,
        "AccountTierChanged": note_account_tier,
        "AccountDeleted": note_account_deletion,
        "TierChanged": note_tier,
        "GalleryUpdated": note_change,
        "GalleryDeleted": forget_gallery,
        "LinkExpired": clear_link,
        "PostDeleted": forget_picture,
    }
    return {
        **{topic: once(outbox, consumer=GROUP, effect=effect) for topic, effect in effects.items()},
        "JanitorTick": on_tick,
    }


def worker_handlers(outbox: Outbox, worker: UploadWorker, *, clock: Clock) -> Mapping[str, Handler]:
    """By topic: what gives the worker something to do."""
    queue = once(outbox, consumer=WORKER_GROUP, effect=queue_upload(clock))

    async def on_upload(envelope: Envelope[UploadCompleted]) -> bool:
        queued = await queue(envelope)
        worker.wake()
        return queued

    return {"UploadCompleted": on_upload}


def store_handler(complete: CompleteArrivals) -> ForeignHandler:
    """Of the topic the object store writes to, in its own form.

    Needs no inbox: an upload leaves `pending` a single time, however often and in whatever order it is
    told of.
    """

    async def on_message(incoming: ForeignRecord) -> bool:
        try:
            message = read_message(incoming.value)
        except UnreadableStoreEvent as error:
            metrics.STORE_EVENTS.labels("kafka", "unreadable").inc()
            raise Poison(str(error)) from error
        metrics.STORE_EVENTS.labels("kafka", "ignored").inc(message.ignored)
        with _tried_again():
            outcomes = await complete(message.arrivals, way="kafka")
        return outcomes["completed"] > 0

    return on_message


@contextmanager
def _tried_again() -> Iterator[None]:
    """What a client would be told to try again later is tried again here."""
    try:
        yield
    except StoreUnavailable as error:
        raise Transient(error.detail) from error
