"""The effects of the events that this service consumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import Clock
from kappi_chassis.inbox import once
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick

from kappi_galleries.use_cases.account_deletion import AccountDeletion
from kappi_galleries.use_cases.expiry import Expiry
from kappi_galleries.use_cases.item_counters import count_deleted, count_moved, count_ready
from kappi_galleries.use_cases.moderation import Suspensions, Takedowns
from kappi_galleries.use_cases.post_upkeep import PurgeComments
from kappi_galleries.use_cases.statistics import count_accesses

GROUP = "galleries"


def handlers(outbox: Outbox, *, clock: Clock, on_tick: Sequence[Handler] = ()) -> Mapping[str, Handler]:
    """Returns the handlers by topic; each event has its effect once. on_tick: the steps of a tick, run one
    after the other.
    """

    async def tick(envelope: Envelope[JanitorTick]) -> bool:
        for step in on_tick:
            await step(envelope)
        return True

    return {
        "MediaReady": once(outbox, consumer=GROUP, effect=count_ready),
        "MediaMoved": once(outbox, consumer=GROUP, effect=count_moved),
        "MediaDeleted": once(outbox, consumer=GROUP, effect=count_deleted),
        "MediaAccessed": once(outbox, consumer=GROUP, effect=count_accesses),
        "GalleryExpired": once(outbox, consumer=GROUP, effect=Expiry(clock=clock).handle),
        "AccountDeleted": AccountDeletion(outbox=outbox, clock=clock, consumer=GROUP).handle,
        "AccountSuspensionChanged": Suspensions(outbox=outbox, clock=clock, consumer=GROUP).handle,
        "GalleryTakedownChanged": once(outbox, consumer=GROUP, effect=Takedowns(clock=clock).apply),
        "PostDeleted": PurgeComments(outbox),
        "JanitorTick": tick,
    }
