"""Runs the media service: `python -m kappi_media.main`."""

from __future__ import annotations

from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.backbone import Backbone
from kappi_chassis.http.edge import App
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability import metrics as chassis_metrics
from kappi_chassis.observability.configure import configure_observability
from kappi_chassis.reconcile.peer import Peer
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.contract import ObjectStore
from kappi_chassis.storage.measured import MeasuredStore
from kappi_chassis.storage.settings import StorageSettings, build_signer, build_store

from kappi_media import metrics
from kappi_media.api.store_events import PATH as STORE_EVENTS_PATH
from kappi_media.bootstrap.app import build_app
from kappi_media.bootstrap.dependencies import Dependencies
from kappi_media.bootstrap.playback import Films, build_film_worker
from kappi_media.bootstrap.reconciler import build_reconciler
from kappi_media.bootstrap.use_cases import (
    build_accesses,
    build_archives,
    build_arrivals,
    build_copies,
    build_facts,
    build_mover,
    build_post_pictures,
    build_renditions,
    build_scan,
    build_worker,
    probe_limits,
    tick_steps,
)
from kappi_media.consumers import (
    GROUP,
    STORE_GROUP,
    WORKER_GROUP,
    handlers,
    store_handler,
    worker_handlers,
)
from kappi_media.domain.shares import DecoderBudget
from kappi_media.rendering.confinement_report import ConfinementReport
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.repository.library_catch_up import CatchUpQueries
from kappi_media.repository.usage import UsageQueries
from kappi_media.settings import MediaSettings
from kappi_media.statistics.counter import AccessCounter
from kappi_media.statistics.recorder import AccessRecorder, CountAccesses, CountNothing
from kappi_media.use_cases.catch_up_library import CatchUpLibrary
from kappi_media.use_cases.catch_up_usage import CatchUpUsage
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.make_film import FilmWorker
from kappi_media.use_cases.mover import Mover
from kappi_media.use_cases.renditions import WaitingBounds

NAME = "media"
FINDER_MEMORY_BYTES = 768 << 20
"""The memory limit of a process that searches for places and reads sidecars: it holds what it reads of a
file, and decodes no picture.
"""


def build(platform: PlatformSettings, settings: MediaSettings, storage: StorageSettings) -> Service:
    """Returns the whole service; nothing connects before it runs. Raises StorageNotConfigured."""
    backbone = Backbone(NAME, platform, settings)
    closes = backbone.service.closes
    budget = _budget(settings)
    renderer = closes(_renderer(settings, budget, memory_bytes=settings.decoder_memory_bytes))
    # It has its own processes: it reads whole files, and requests for pictures must not wait for that.
    finder = closes(_renderer(settings, budget, memory_bytes=FINDER_MEMORY_BYTES))
    deps = Dependencies(
        database=backbone.database,
        outbox=backbone.outbox,
        store=_store(storage),
        signer=build_signer(storage),
        grant_keys=http_fetch(settings.grant_jwks_url, headers=internal_headers(platform)),
        account_keys=http_fetch(settings.account_jwks_url, headers=internal_headers(platform)),
        reading=finder,
    )
    _export(backbone.service, storage)
    for resource in (deps.store, deps.joins, deps.hashing):
        closes(resource)
    mover = build_mover(deps, store=closes(_store(storage)))
    films = build_film_worker(deps, settings)
    app = _app(backbone, deps, settings, storage, renderer=renderer, finder=finder, mover=mover, films=films)
    backbone.serves(app, but=[STORE_EVENTS_PATH.encode()])
    galleries = Peer(settings.galleries_url, headers=internal_headers(platform))
    reconciler = build_reconciler(deps, settings, galleries=galleries)
    on_tick_first = [*tick_steps(deps, settings), reconciler.on_tick]
    backbone.consumes(handlers(deps.outbox, on_tick_first=on_tick_first), group=GROUP)
    if "worker" in settings.roles:
        backbone.service.exports(chassis_metrics.RECONCILE, check=reconciler.names)
        backbone.service.runs("reconciler", reconciler.run)
    if settings.store_events_topic is not None:
        store_events = store_handler(build_arrivals(deps, settings))
        backbone.consumes_foreign(settings.store_events_topic, store_events, group=STORE_GROUP)
    if {"api", "worker"} & set(settings.roles):
        report = ConfinementReport(memory_bytes=settings.decoder_memory_bytes)
        backbone.service.runs("decoder confinement", report.run)
    _work(backbone, deps, settings, decoding=renderer, budget=budget, mover=mover, films=films)
    return backbone.service


def _export(service: Service, storage: StorageSettings) -> None:
    service.exports(metrics.API, roles=["api"])
    service.exports(metrics.WORKER, roles=["worker"])
    service.exports(metrics.EITHER, roles=["api", "worker"])
    service.exports(chassis_metrics.STORE, roles=["api", "worker"])
    if not storage.uses_s3:
        service.exports(chassis_metrics.LOCAL_STORE, roles=["api", "worker"])


def _budget(settings: MediaSettings) -> DecoderBudget:
    return DecoderBudget(seconds=settings.anonymous_decoder_budget, window=settings.anonymous_decoder_window)


def _store(storage: StorageSettings) -> ObjectStore:
    return MeasuredStore(build_store(storage))


def _renderer(settings: MediaSettings, budget: DecoderBudget, *, memory_bytes: int) -> Renderer:
    limits = RenderLimits(
        max_pixels=settings.max_picture_pixels,
        max_video_pixels=settings.max_video_pixels,
        memory_bytes=memory_bytes,
    )
    return Renderer(max_parallel=settings.decoder_processes, limits=limits, budget=budget)


def _app(
    backbone: Backbone,
    deps: Dependencies,
    settings: MediaSettings,
    storage: StorageSettings,
    *,
    renderer: Renderer,
    finder: Renderer,
    mover: Mover,
    films: FilmWorker,
) -> App:
    closes = backbone.service.closes
    bounds = WaitingBounds(settings.renditions_waiting, settings.renditions_waiting_of_one)
    facts = None
    if settings.fill_from_tags:
        facts = closes(FactsOnRead(build_facts(deps, settings), timeout=settings.tags_patience))
    copies = closes(build_copies(deps, finder.find_location))
    return build_app(
        deps,
        settings,
        closes(build_renditions(deps, renderer, bounds)),
        facts,
        archives=closes(build_archives(deps, settings, copies, store=closes(_store(storage)))),
        copies=copies,
        pictures=build_post_pictures(deps, settings, renderer),
        recorder=_recorder(backbone, deps, settings),
        wake_mover=mover.wake,
        films=Films(renderer, films.wake),
    )


def _work(
    backbone: Backbone,
    deps: Dependencies,
    settings: MediaSettings,
    *,
    decoding: Renderer,
    budget: DecoderBudget,
    mover: Mover,
    films: FilmWorker,
) -> None:
    """Run what the `worker` role does beside consuming events."""
    worker = build_worker(
        deps,
        decoding,
        concurrency=settings.worker_concurrency,
        budget=budget,
        limits=probe_limits(settings),
        write_tags=settings.write_tags,
        scan=build_scan(deps, settings),
    )
    backbone.consumes(worker_handlers(deps.outbox, worker, clock=deps.clock), group=WORKER_GROUP)
    if "worker" in settings.roles:
        backbone.service.runs("uploads", worker.run)
        backbone.service.runs("moves", mover.run)
        backbone.service.runs("films", films.run)
        backbone.service.runs("library", CatchUpLibrary(CatchUpQueries(deps.database)).run)
        backbone.service.runs("usage", CatchUpUsage(UsageQueries(deps.database)).run)


def _recorder(backbone: Backbone, deps: Dependencies, settings: MediaSettings) -> AccessRecorder:
    """Returns the recorder of accesses in the `api` role, the only one that answers requests."""
    if not settings.statistics or "api" not in settings.roles:
        return CountNothing()
    counter = AccessCounter(max_keys=settings.statistics_keys)
    flush = backbone.service.closes(build_accesses(deps, settings, counter))
    backbone.service.runs("accesses", flush.run)
    return CountAccesses(counter)


def main() -> None:
    """Read the settings and run until stopped."""
    platform = PlatformSettings()
    settings = MediaSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_observability(NAME, platform)
    build(platform, settings, StorageSettings()).main()


if __name__ == "__main__":
    main()
