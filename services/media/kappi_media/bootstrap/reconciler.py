"""Builds the comparisons of this service's rows with the store, and the rows that other services compare."""

from __future__ import annotations

from collections.abc import Mapping

from kappi_chassis.reconcile import Check, ReconcilePolicy, Reconciler
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.reconcile.routes import ReadPage

from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.reconcile_objects import ObjectQueries
from kappi_media.repository.reconcile_pages import ReconcilePages
from kappi_media.repository.reconcile_sums import SumQueries
from kappi_media.settings import MediaSettings
from kappi_media.use_cases.reconcile_objects import ReconcileObjects
from kappi_media.use_cases.reconcile_pictures import ReconcilePictures
from kappi_media.use_cases.reconcile_sums import ReconcileCharges, ReconcileItemCounts


def build_checks(deps: Dependencies, settings: MediaSettings, *, galleries: Peer) -> Mapping[str, Check]:
    """Returns the checks by name, in the order in which they run."""
    objects, sums = ObjectQueries(deps.database), SumQueries(deps.database)
    return {
        "media-objects": ReconcileObjects(
            objects,
            items=ItemQueries(deps.database),
            store=deps.store,
            outbox=deps.outbox,
            galleries=galleries,
            longest_upload=settings.longest_upload,
            clock=deps.clock,
        ),
        "media-pictures": ReconcilePictures(
            objects,
            store=deps.store,
            outbox=deps.outbox,
            galleries=galleries,
            longest_upload=settings.longest_upload,
            clock=deps.clock,
        ),
        "media-item-counts": ReconcileItemCounts(sums),
        "media-charges": ReconcileCharges(sums),
    }


def build_reconciler(deps: Dependencies, settings: MediaSettings, *, galleries: Peer) -> Reconciler:
    """Returns the runner of the checks."""
    policy = ReconcilePolicy(every=settings.reconcile_every, budget=settings.reconcile_budget)
    checks = build_checks(deps, settings, galleries=galleries)
    return Reconciler(deps.database, checks, policy=policy, clock=deps.clock, new_id=deps.new_id)


def build_pages(deps: Dependencies, settings: MediaSettings) -> Mapping[str, ReadPage]:
    """Returns the readers of the rows that other services compare, by collection."""
    pages = ReconcilePages(deps.database, longest_upload=settings.longest_upload, clock=deps.clock)
    return {
        "items": pages.items,
        "galleries": pages.galleries,
        "links": pages.links,
        "pictures": pages.pictures,
    }
