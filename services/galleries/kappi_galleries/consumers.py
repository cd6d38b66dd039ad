"""The effects of the events that this service consumes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import Clock
from kappi_chassis.inbox import once, once_together
from kappi_chassis.outbox import Outbox
from kappi_contracts.envelope import Envelope
from kappi_contracts.events import JanitorTick

from kappi_galleries.use_cases.apply_moderation import ApplySuspension, ApplyTakedown
from kappi_galleries.use_cases.comments import PurgeComments
from kappi_galleries.use_cases.delete_account_content import DeleteAccountContent
from kappi_galleries.use_cases.expire_galleries import ExpireGalleries
from kappi_galleries.use_cases.item_counters import count_deleted, count_moved, count_ready
from kappi_galleries.use_cases.statistics import count_accesses

GROUP = "galleries"
SKIPS_VERSIONS_OF = ("MediaAccessed",)
"""Its numbers are added up: a second version, sent back from the dead letters, would count them twice."""

TickStep = Callable[[datetime], Awaitable[object]]
"""Takes the instant of a tick. It needs no inbox: a repeated tick finds only the remaining work."""


def handlers(outbox: Outbox, *, clock: Clock, on_tick: Sequence[TickStep] = ()) -> Mapping[str, Handler]:
    """Returns the handlers by topic; each event has its effect once. on_tick: the steps of a tick, run one
    after the other.
    """

    async def tick(envelope: Envelope[JanitorTick]) -> bool:
        for step in on_tick:
            await step(envelope.data.at)
        return True

    return {
        "MediaReady": once_together(outbox, consumer=GROUP, effect=count_ready),
        "MediaMoved": once_together(outbox, consumer=GROUP, effect=count_moved),
        "MediaDeleted": once_together(outbox, consumer=GROUP, effect=count_deleted),
        "MediaAccessed": once_together(outbox, consumer=GROUP, effect=count_accesses),
        "GalleryExpired": once_together(outbox, consumer=GROUP, effect=ExpireGalleries(clock=clock)),
        "AccountDeleted": DeleteAccountContent(outbox=outbox, clock=clock, consumer=GROUP),
        "AccountSuspensionChanged": ApplySuspension(outbox=outbox, clock=clock, consumer=GROUP),
        "GalleryTakedownChanged": once(outbox, consumer=GROUP, effect=ApplyTakedown(clock=clock)),
        "PostDeleted": PurgeComments(outbox),
        "JanitorTick": tick,
    }
