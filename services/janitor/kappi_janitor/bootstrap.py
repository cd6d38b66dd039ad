"""Builds the janitor's use cases with their dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kappi_chassis.bus.processor import Handler
from kappi_chassis.dependencies import ServiceDependencies
from kappi_chassis.reconcile import Check, ReconcilePolicy, Reconciler
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.storage import ObjectStore

from kappi_janitor.consumers import handlers
from kappi_janitor.repository.reconcile import ReconcileQueries
from kappi_janitor.settings import JanitorSettings
from kappi_janitor.use_cases.emit_tick import EmitTick
from kappi_janitor.use_cases.purge_prefix import PurgePolicy, PurgePrefix, Purger
from kappi_janitor.use_cases.reconcile import ReconcileDueGalleries, ReconcileDueLinks, ReconcilePurges
from kappi_janitor.use_cases.record_sweeps import RecordSweeps
from kappi_janitor.use_cases.sweep_due import AfterSweep, SweepDue, SweepPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies(ServiceDependencies):
    store: ObjectStore


def build_purge(deps: Dependencies, settings: JanitorSettings) -> PurgePrefix:
    return PurgePrefix(
        deps.database,
        deps.store,
        record=RecordSweeps(deps.outbox, clock=deps.clock),
        policy=_purge_policy(settings),
        clock=deps.clock,
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


def build_sweep(
    deps: Dependencies, settings: JanitorSettings, purger: Purger, *, then: AfterSweep | None = None
) -> SweepDue:
    """Returns the handler of the ticks. then: called with a tick's instant after its sweep."""
    policy = SweepPolicy(
        page=settings.sweep_page,
        purge_retention=settings.purge_retention,
        tombstone_retention=settings.tombstone_retention,
    )
    return SweepDue(
        deps.database, deps.outbox, policy=policy, clock=deps.clock, wake_purger=purger.wake, then=then
    )


def build_checks(deps: Dependencies, *, galleries: Peer, media: Peer) -> Mapping[str, Check]:
    """Returns the comparisons with the owners of due dates by name, in the order in which they run."""
    queries = ReconcileQueries(deps.database)
    return {
        "janitor-galleries": ReconcileDueGalleries(queries, galleries=galleries),
        "janitor-links": ReconcileDueLinks(queries, media=media, clock=deps.clock),
        "janitor-purges": ReconcilePurges(queries, clock=deps.clock),
    }


def build_reconciler(
    deps: Dependencies, settings: JanitorSettings, *, galleries: Peer, media: Peer
) -> Reconciler:
    """Returns the runner of the comparisons."""
    policy = ReconcilePolicy(every=settings.reconcile_every, budget=settings.reconcile_budget)
    checks = build_checks(deps, galleries=galleries, media=media)
    return Reconciler(deps.database, checks, policy=policy, clock=deps.clock, new_id=deps.new_id)


def build_timer(deps: Dependencies, settings: JanitorSettings) -> EmitTick:
    return EmitTick(deps.outbox, every=settings.tick_interval, clock=deps.clock)
