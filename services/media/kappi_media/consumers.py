"""Which event has which effect here. Two groups: slow work on originals never delays a deletion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from kappi_chassis.bus.foreign import ForeignHandler, ForeignRecord
from kappi_chassis.bus.processor import Handler, Poison, Transient
from kappi_chassis.inbox import Effect, once
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick, UploadCompleted

from kappi_media import metrics
from kappi_media.errors import StoreUnavailable
from kappi_media.rendering.failures import DecoderNotStarted, DecoderStalled, DecoderUnavailable
from kappi_media.repository.processing import CONSUMER as WORKER_GROUP
from kappi_media.store_events import UnreadableStoreEvent, read_message
from kappi_media.use_cases.lifecycle import SweepAbandonedUploads, clear_link, forget_gallery, note_change
from kappi_media.use_cases.post_pictures import forget_picture
from kappi_media.use_cases.projection import note_account_deletion, note_account_tier, note_tier
from kappi_media.use_cases.store_notifications import CompleteArrivals
from kappi_media.worker import ProcessUpload

GROUP = "media"
STORE_GROUP = "media-store-events"
KILLS_PER_FILE: Final = 10
"""With the pauses in between, most of a minute: longer than a machine is out of memory by accident."""
STALLS_PER_FILE: Final = 2
"""Each has held a decoder, and a place among the uploads that are worked on, for minutes."""

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


def worker_handlers(process: ProcessUpload) -> Mapping[str, Handler]:
    """By topic: the work on originals.

    A decoder that does not start is waited for: no file is at fault, and every file would meet the same. One
    that is killed may have been killed for what the file makes of it, and one that lacks a library reads
    other files: after a few times the event is left to an operator, and the file is not condemned.
    """
    failed: dict[UUID, Counter[type[DecoderUnavailable]]] = {}

    async def on_upload(envelope: Envelope[UploadCompleted]) -> bool:
        try:
            done = await process(envelope)
        except DecoderNotStarted as error:
            raise Transient(str(error)) from error
        except DecoderUnavailable as error:
            counted = failed.setdefault(envelope.id, Counter())
            counted[type(error)] += 1
            times = counted[type(error)]
            if times < (STALLS_PER_FILE if isinstance(error, DecoderStalled) else KILLS_PER_FILE):
                raise Transient(str(error)) from error
            del failed[envelope.id]
            raise Poison(f"its decoder failed {times} times: {error}") from error
        failed.pop(envelope.id, None)
        return done

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
