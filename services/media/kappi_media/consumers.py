"""The effects of events. There are several consumer groups, so that many uploads never delay a deletion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from kappi_chassis.bus.external_topic import ForeignHandler, ForeignRecord
from kappi_chassis.bus.processor import Handler, Poison, Transient
from kappi_chassis.clock import Clock
from kappi_chassis.inbox import Effect, once, once_together
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick

from kappi_media import metrics
from kappi_media.domain.store_events import UnreadableStoreEvent, read_message
from kappi_media.errors import StoreUnavailable
from kappi_media.use_cases.contributions import RemoveContributor
from kappi_media.use_cases.lifecycle import NoteChange, SweepAbandonedUploads, clear_link, forget_galleries
from kappi_media.use_cases.post_pictures import forget_picture
from kappi_media.use_cases.process_upload import UploadWorker, queue_uploads
from kappi_media.use_cases.projection import note_account_deletion, note_account_tier, note_tier
from kappi_media.use_cases.store_notifications import CompleteArrivals

GROUP = "media"
STORE_GROUP = "media-store-events"
WORKER_GROUP: Final = "media-worker"

__all__ = ["GROUP", "STORE_GROUP", "WORKER_GROUP", "handlers", "store_handler", "worker_handlers"]

BeforeSweep = Callable[[datetime], Awaitable[None]]


def handlers(outbox: Outbox, *, on_tick_first: Sequence[BeforeSweep] = ()) -> Mapping[str, Handler]:
    """Returns the handlers by topic of events that end things, set owners and set tiers.

    on_tick_first: called with a tick's instant before its sweep; an exception postpones the sweep.
    """
    sweep = SweepAbandonedUploads(outbox)

    async def on_tick(envelope: Envelope[JanitorTick]) -> bool:
        with _tried_again():
            for step in on_tick_first:
                await step(envelope.data.at)
        # It runs many transactions, each of which finds only what is left: an inbox record would not make it
        # safer.
        await sweep(envelope.data.at)
        return True

    effects: Mapping[str, Effect] = {
        "AccountCreated": note_account_tier,
        "AccountTierChanged": note_account_tier,
        "AccountDeleted": note_account_deletion,
        "TierChanged": note_tier,
        "GalleryUpdated": NoteChange(outbox),
        "LinkExpired": clear_link,
        "PostDeleted": forget_picture,
    }
    return {
        **{topic: once(outbox, consumer=GROUP, effect=effect) for topic, effect in effects.items()},
        "GalleryDeleted": once_together(outbox, consumer=GROUP, effect=forget_galleries),
        "ContributorRemoved": RemoveContributor(outbox, consumer=GROUP),
        "JanitorTick": on_tick,
    }


def worker_handlers(outbox: Outbox, worker: UploadWorker, *, clock: Clock) -> Mapping[str, Handler]:
    """Returns the handlers by topic of events that give the worker a job."""
    effect = queue_uploads(clock)
    return {"UploadCompleted": once_together(outbox, consumer=WORKER_GROUP, effect=effect, then=worker.wake)}


def store_handler(complete: CompleteArrivals) -> ForeignHandler:
    """Returns the handler of the topic to which the object store writes, in its own format.

    It needs no inbox: an upload leaves `pending` a single time, however often and in whatever order
    notifications arrive.
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
    """Turns a temporary unavailability, after which a client would have to retry, into a retry of the
    event.
    """
    try:
        yield
    except StoreUnavailable as error:
        raise Transient(error.detail) from error
