"""Which event has which effect here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from kappi_chassis.bus.processor import Handler
from kappi_chassis.clock import Clock
from kappi_chassis.inbox import once
from kappi_chassis.outbox import Outbox

from kappi_galleries.use_cases.account_deletion import AccountDeletion
from kappi_galleries.use_cases.counting import count_deleted, count_ready
from kappi_galleries.use_cases.expiry import Expiry
from kappi_galleries.use_cases.statistics import RETENTION, StatisticsSweep, count_accesses

GROUP = "galleries"


def handlers(
    outbox: Outbox, *, clock: Clock, statistics_retention: timedelta = RETENTION
) -> Mapping[str, Handler]:
    """By topic; each happens once in effect. statistics_retention: of a day's counters."""
    return {
        "MediaReady": once(outbox, consumer=GROUP, effect=count_ready),
        "MediaDeleted": once(outbox, consumer=GROUP, effect=count_deleted),
        "MediaAccessed": once(outbox, consumer=GROUP, effect=count_accesses),
        "JanitorTick": StatisticsSweep(outbox, retention=statistics_retention).handle,
        "GalleryExpired": once(outbox, consumer=GROUP, effect=Expiry(clock=clock).judge),
        "AccountDeleted": AccountDeletion(outbox=outbox, clock=clock, consumer=GROUP).handle,
    }
