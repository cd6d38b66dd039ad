"""Builds the janitor's use cases with their dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kappi_chassis.bus.processor import Handler
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.storage import ObjectStore

from kappi_janitor.consumers import handlers
from kappi_janitor.settings import JanitorSettings
from kappi_janitor.use_cases.emit_tick import EmitTick
from kappi_janitor.use_cases.purge_prefix import PurgePolicy, PurgePrefix, Purger
from kappi_janitor.use_cases.sweep_due import SweepDue, SweepPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    store: ObjectStore


def build_purge(deps: Dependencies, settings: JanitorSettings) -> PurgePrefix:
    return PurgePrefix(
        deps.database, deps.outbox, deps.store, policy=_purge_policy(settings), clock=deps.clock
    )


def build_purger(deps: Dependencies, settings: JanitorSettings, purge: PurgePrefix) -> Purger:
    return Purger(deps.database, purge, policy=_purge_policy(settings), clock=deps.clock, new_id=deps.new_id)


def _purge_policy(settings: JanitorSettings) -> PurgePolicy:
    return PurgePolicy(
        concurrency=settings.purge_concurrency,
        poll=settings.purge_poll,
        lease=settings.purge_lease,
        longest_pause=settings.purge_longest_pause,
        resweep_after=settings.resweep_after,
    )


def build_handlers(deps: Dependencies, purger: Purger) -> Mapping[str, Handler]:
    """Returns the handlers of the chassis' consumer by topic."""
    return handlers(deps.database, deps.outbox, clock=deps.clock, new_id=deps.new_id, wake_purger=purger.wake)


def build_sweep(deps: Dependencies, settings: JanitorSettings, purger: Purger) -> SweepDue:
    """Returns the handler of the ticks."""
    policy = SweepPolicy(
        page=settings.sweep_page,
        purge_retention=settings.purge_retention,
        tombstone_retention=settings.tombstone_retention,
    )
    return SweepDue(deps.database, deps.outbox, policy=policy, clock=deps.clock, wake_purger=purger.wake)


def build_timer(deps: Dependencies, settings: JanitorSettings) -> EmitTick:
    return EmitTick(deps.outbox, every=settings.tick_interval, clock=deps.clock)
