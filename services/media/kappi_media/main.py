"""Wiring of the media service; `python -m kappi_media.main` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kappi_chassis.auth import GrantVerifier, JwksSource, TokenVerifier
from kappi_chassis.auth.accounts import AccountVerifier
from kappi_chassis.auth.verifier import http_fetch
from kappi_chassis.backbone import Backbone
from kappi_chassis.http import Edge, create_app
from kappi_chassis.http.edge import App, behind
from kappi_chassis.http.internal import internal_headers
from kappi_chassis.observability.logs import configure_logging
from kappi_chassis.runtime import Service
from kappi_chassis.settings import PlatformSettings
from kappi_chassis.storage.settings import StorageSettings, build_signer, build_store
from kappi_contracts.grants import GRANT_AUDIENCE, GRANT_ISSUER

from kappi_media.api.access import ClientAddresses, GrantGate
from kappi_media.api.accounts import AccountGate
from kappi_media.api.archive import ArchiveApi
from kappi_media.api.bulk import BulkApi
from kappi_media.api.components import add_components
from kappi_media.api.internal import InternalApi
from kappi_media.api.items import ItemApi, leads_to_rendition
from kappi_media.api.library import LibraryApi
from kappi_media.api.links import LinkApi
from kappi_media.api.post_pictures import PostPictureApi, leads_to_post_picture
from kappi_media.api.small_uploads import SmallUploadApi
from kappi_media.api.statistics import StatisticsApi
from kappi_media.api.store_events import PATH as STORE_EVENTS_PATH
from kappi_media.api.store_events import StoreEventApi
from kappi_media.api.uploads import UploadApi
from kappi_media.api.view import ViewApi
from kappi_media.bootstrap import (
    Dependencies,
    build_accesses,
    build_archives,
    build_arrivals,
    build_complete,
    build_copies,
    build_facts,
    build_mover,
    build_multiparts,
    build_post_pictures,
    build_renditions,
    build_reservation,
    build_scan,
    build_tier,
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
from kappi_media.page_cache import PageCache
from kappi_media.rendering.confinement_report import ConfinementReport
from kappi_media.rendering.renderer import Renderer, RenderLimits
from kappi_media.rendition_urls import RenditionUrls
from kappi_media.repository.accesses import AccessQueries
from kappi_media.repository.gallery_lookup import GalleryLookupQueries
from kappi_media.repository.items import ItemQueries
from kappi_media.repository.library import LibraryQueries
from kappi_media.repository.library_catch_up import CatchUpQueries
from kappi_media.repository.links import LinkQueries
from kappi_media.repository.moves import MoveQueries
from kappi_media.repository.post_pictures import PostPictureQueries
from kappi_media.repository.renditions import RenditionQueries
from kappi_media.repository.uploads import UploadQueries
from kappi_media.repository.usage import UsageQueries
from kappi_media.repository.view import ViewQueries
from kappi_media.settings import MediaSettings
from kappi_media.shares import DecoderBudget
from kappi_media.signed_urls import DownloadUrls
from kappi_media.statistics.counter import AccessCounter
from kappi_media.statistics.recorder import AccessRecorder, CountAccesses, CountNothing
from kappi_media.use_cases.archive import Archives
from kappi_media.use_cases.catch_up_library import CatchUpLibrary
from kappi_media.use_cases.catch_up_usage import CatchUpUsage
from kappi_media.use_cases.change_many import ChangeMany
from kappi_media.use_cases.claims import ReserveClaim
from kappi_media.use_cases.facts_from_tags import FactsOnRead
from kappi_media.use_cases.governing_tier import GoverningTier
from kappi_media.use_cases.gps_free import GpsFreeCopies
from kappi_media.use_cases.items import Items
from kappi_media.use_cases.links import CreateLink, Links
from kappi_media.use_cases.move_items import AwaitMoves, MoveTarget
from kappi_media.use_cases.multipart import PartSigner
from kappi_media.use_cases.post_file import PostFile
from kappi_media.use_cases.post_pictures import ShowPostPicture, StorePostPicture
from kappi_media.use_cases.renditions import MakeRendition, Renditions, WaitingBounds
from kappi_media.use_cases.search_library import SearchLibrary
from kappi_media.use_cases.sign_batch import ReservationTerms, SignBatch, UploadSigner
from kappi_media.use_cases.statistics import ShowAccesses, ShowUsage
from kappi_media.use_cases.uploads import AbortUpload, LookAtUpload, SignParts
from kappi_media.use_cases.view_gallery import ViewGallery

NAME = "media"
FINDER_MEMORY_BYTES = 768 << 20
"""Of a process that looks for places: what it reads of a file is held, no picture is decoded."""


def build_app(
    deps: Dependencies,
    settings: MediaSettings,
    make: MakeRendition,
    facts: FactsOnRead | None = None,
    *,
    archives: Archives | None = None,
    copies: GpsFreeCopies | None = None,
    pictures: StorePostPicture | None = None,
    recorder: AccessRecorder | None = None,
    wake_mover: Callable[[], None] = lambda: None,
) -> App:
    """The service's HTTP side. make, facts, archives, copies, and what `pictures` decodes with: closed by the
    caller, after the last call. recorder: what notes accesses; without one none is noted. wake_mover:
    tells it that there is something to move."""
    tokens = TokenVerifier(JwksSource(deps.grant_keys), issuer=GRANT_ISSUER, audience=GRANT_AUDIENCE)
    gate = GrantGate(GrantVerifier(tokens, clock=deps.clock), clock=deps.clock)
    on_request = RenditionUrls(
        public_url=settings.public_url, secret=settings.idempotency_secret.get_secret_value().encode()
    )
    urls = DownloadUrls(
        deps.signer,
        clock=deps.clock,
        lifetime=settings.download_lifetime,
        bucket=settings.url_bucket,
        on_request=on_request,
        scanned_only=settings.clamd_address is not None,
    )
    tier = build_tier(deps)
    app = create_app(title="Media", description="Uploads, items, renditions and downloads.")
    # Routes are tried in this order: the hottest first.
    copies = copies or build_copies(deps)
    recorder = recorder or CountNothing()
    _view(deps, settings, facts, copies, gate=gate, tier=tier, urls=urls, recorder=recorder).register(app)
    _uploads(deps, settings, gate=gate, tier=tier, urls=urls).register(app)
    _small_uploads(deps, settings, gate=gate, tier=tier, urls=urls).register(app)
    accounts = AccountGate(AccountVerifier(JwksSource(deps.account_keys), clock=deps.clock))
    search = SearchLibrary(LibraryQueries(deps.database), clock=deps.clock)
    LibraryApi(accounts, tier=tier, search=search, urls=urls).register(app)
    _bulk(deps, settings, accounts, gate=gate, wake_mover=wake_mover).register(app)
    _items(
        deps,
        settings,
        make,
        facts,
        copies,
        gate=gate,
        tier=tier,
        urls=urls,
        on_request=on_request,
        recorder=recorder,
    ).register(app)
    _links(deps, settings, copies, gate=gate, tier=tier, urls=urls, recorder=recorder).register(app)
    archives = archives or build_archives(deps, settings, copies)
    ArchiveApi(gate, tier=tier, archives=archives, recorder=recorder).register(app)
    PostPictureApi(
        store=pictures or build_post_pictures(deps, settings, Renderer()),
        show=ShowPostPicture(PostPictureQueries(deps.database), store=deps.store),
        at_once=settings.post_pictures_at_once,
    ).register(app)
    _statistics(deps, settings, accounts, gate=gate, tier=tier).register(app)
    reserve_claim = ReserveClaim(deps.outbox, tier=tier, clock=deps.clock)
    InternalApi(GalleryLookupQueries(deps.database), reserve_claim=reserve_claim).register(app)
    if settings.store_events_token is not None:
        token = settings.store_events_token.get_secret_value()
        StoreEventApi(build_arrivals(deps), token=token).register(app)
    add_components(app)
    # Whoever waits for a decoder must not keep those out who only look at a page.
    return behind(
        lambda raw_path: leads_to_rendition(raw_path) or leads_to_post_picture(raw_path),
        Edge(app, max_in_flight=settings.max_rendition_requests),
        otherwise=Edge(app, max_in_flight=settings.max_in_flight),
    )


def _uploads(
    deps: Dependencies, settings: MediaSettings, *, gate: GrantGate, tier: GoverningTier, urls: DownloadUrls
) -> UploadApi:
    secret = settings.idempotency_secret.get_secret_value().encode()
    uploads = UploadQueries(deps.database)
    multiparts = build_multiparts(deps)
    signer = UploadSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    part_signer = PartSigner(deps.signer, lifetime=settings.upload_url_lifetime)
    return UploadApi(
        gate,
        addresses=ClientAddresses(secret),
        tier=tier,
        sign_batch=SignBatch(
            uploads,
            multiparts=multiparts,
            store=deps.store,
            outbox=deps.outbox,
            quota_reservation=build_reservation(deps, settings),
            signer=signer,
            part_signer=part_signer,
            terms=ReservationTerms(
                lifetime=settings.upload_lifetime,
                multipart_lifetime=settings.multipart_upload_lifetime,
                multipart_above_bytes=settings.multipart_threshold_bytes,
                budgets=settings.promise_budgets,
            ),
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        look=LookAtUpload(
            uploads, multiparts=multiparts, signer=signer, part_signer=part_signer, clock=deps.clock
        ),
        sign_parts=SignParts(
            uploads,
            multiparts=multiparts,
            store=deps.store,
            part_signer=part_signer,
            clock=deps.clock,
        ),
        complete=build_complete(deps),
        abort=AbortUpload(uploads, multiparts=multiparts, outbox=deps.outbox, clock=deps.clock),
        urls=urls,
        idempotency_secret=secret,
    )


def _small_uploads(
    deps: Dependencies, settings: MediaSettings, *, gate: GrantGate, tier: GoverningTier, urls: DownloadUrls
) -> SmallUploadApi:
    secret = settings.idempotency_secret.get_secret_value().encode()
    uploads = UploadQueries(deps.database)
    return SmallUploadApi(
        gate,
        addresses=ClientAddresses(secret),
        tier=tier,
        post=PostFile(
            uploads,
            complete=build_complete(deps),
            abort=AbortUpload(
                uploads, multiparts=build_multiparts(deps), outbox=deps.outbox, clock=deps.clock
            ),
            store=deps.store,
            outbox=deps.outbox,
            quota_reservation=build_reservation(deps, settings),
            budgets=settings.promise_budgets,
            lifetime=settings.upload_lifetime,
            clock=deps.clock,
            new_id=deps.new_id,
        ),
        urls=urls,
        idempotency_secret=secret,
        max_file_bytes=settings.small_upload_bytes,
        at_once=settings.small_uploads_at_once,
    )


def _bulk(
    deps: Dependencies,
    settings: MediaSettings,
    accounts: AccountGate,
    *,
    gate: GrantGate,
    wake_mover: Callable[[], None],
) -> BulkApi:
    return BulkApi(
        accounts,
        grants=gate,
        change_many=ChangeMany(deps.outbox, clock=deps.clock),
        move_target=MoveTarget(deps.outbox),
        await_moves=AwaitMoves(MoveQueries(deps.database), wake=wake_mover),
        idempotency_secret=settings.idempotency_secret.get_secret_value().encode(),
    )


def _items(
    deps: Dependencies,
    settings: MediaSettings,
    make: MakeRendition,
    facts: FactsOnRead | None,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    on_request: RenditionUrls,
    recorder: AccessRecorder,
) -> ItemApi:
    queries = ItemQueries(deps.database)
    items = Items(queries, urls=urls, copies=copies, outbox=deps.outbox, clock=deps.clock, facts=facts)
    renditions = Renditions(
        queries,
        stored=RenditionQueries(deps.database),
        make=make,
        urls=urls,
        on_request=on_request,
        clock=deps.clock,
    )
    return ItemApi(
        gate,
        tier=tier,
        items=items,
        renditions=renditions,
        urls=urls,
        recorder=recorder,
        addresses=ClientAddresses(settings.idempotency_secret.get_secret_value().encode()),
    )


def _links(
    deps: Dependencies,
    settings: MediaSettings,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    recorder: AccessRecorder,
) -> LinkApi:
    links = Links(
        LinkQueries(deps.database),
        items=ItemQueries(deps.database),
        urls=urls,
        copies=copies,
        clock=deps.clock,
    )
    create = CreateLink(
        outbox=deps.outbox, public_url=settings.public_url, clock=deps.clock, new_id=deps.new_id
    )
    secret = settings.idempotency_secret.get_secret_value().encode()
    return LinkApi(gate, tier=tier, create=create, links=links, recorder=recorder, idempotency_secret=secret)


def _statistics(
    deps: Dependencies,
    settings: MediaSettings,
    accounts: AccountGate,
    *,
    gate: GrantGate,
    tier: GoverningTier,
) -> StatisticsApi:
    return StatisticsApi(
        gate,
        accounts=accounts,
        usage=ShowUsage(UsageQueries(deps.database), tier=tier, clock=deps.clock),
        accesses=ShowAccesses(AccessQueries(deps.database), step=settings.statistics_step),
    )


def _view(
    deps: Dependencies,
    settings: MediaSettings,
    facts: FactsOnRead | None,
    copies: GpsFreeCopies,
    *,
    gate: GrantGate,
    tier: GoverningTier,
    urls: DownloadUrls,
    recorder: AccessRecorder,
) -> ViewApi:
    cache = PageCache(max_bytes=settings.view_cache_bytes)
    view = ViewGallery(ViewQueries(deps.database), urls=urls, cache=cache, copies=copies, facts=facts)
    return ViewApi(gate, tier=tier, view=view, recorder=recorder)


def build(platform: PlatformSettings, settings: MediaSettings, storage: StorageSettings) -> Service:
    """The whole service; nothing connects before it runs. Raises StorageNotConfigured."""
    backbone = Backbone(NAME, platform, settings)
    deps = Dependencies(
        database=backbone.database,
        outbox=backbone.outbox,
        store=build_store(storage),
        signer=build_signer(storage),
        grant_keys=http_fetch(settings.grant_jwks_url, headers=internal_headers(platform)),
        account_keys=http_fetch(settings.account_jwks_url, headers=internal_headers(platform)),
    )
    limits = RenderLimits(
        max_pixels=settings.max_picture_pixels,
        max_video_pixels=settings.max_video_pixels,
        memory_bytes=settings.decoder_memory_bytes,
    )
    budget = DecoderBudget(
        seconds=settings.anonymous_decoder_budget, window=settings.anonymous_decoder_window
    )
    renderer = Renderer(max_parallel=settings.decoder_processes, limits=limits, budget=budget)
    for resource in (deps.store, deps.joins, deps.hashing):
        backbone.service.closes(resource)
    backbone.service.closes(renderer)
    bounds = WaitingBounds(settings.renditions_waiting, settings.renditions_waiting_of_one)
    make = build_renditions(deps, renderer, bounds)
    backbone.service.closes(make)
    facts = None
    if settings.fill_from_tags:
        facts = FactsOnRead(build_facts(deps, settings), timeout=settings.tags_patience)
        backbone.service.closes(facts)
    bulk = build_store(storage)
    backbone.service.closes(bulk)
    # Processes of its own: it reads a JPEG through, and whoever waits for a picture must not wait for that.
    finder = Renderer(
        max_parallel=settings.decoder_processes,
        limits=replace(limits, memory_bytes=FINDER_MEMORY_BYTES),
        budget=budget,
    )
    backbone.service.closes(finder)
    copies = build_copies(deps, finder.find_location)
    backbone.service.closes(copies)
    archives = build_archives(deps, settings, copies, store=bulk)
    backbone.service.closes(archives)
    recorder = _recorder(backbone, deps, settings)
    pictures = build_post_pictures(deps, settings, renderer)
    copying = build_store(storage)
    backbone.service.closes(copying)
    mover = build_mover(deps, store=copying)
    app = build_app(
        deps,
        settings,
        make,
        facts,
        archives=archives,
        copies=copies,
        pictures=pictures,
        recorder=recorder,
        wake_mover=mover.wake,
    )
    backbone.serves(app, but=[STORE_EVENTS_PATH.encode()])
    backbone.consumes(handlers(deps.outbox, on_tick_first=tick_steps(deps, settings)), group=GROUP)
    if settings.store_events_topic is not None:
        store_events = store_handler(build_arrivals(deps))
        backbone.consumes_foreign(settings.store_events_topic, store_events, group=STORE_GROUP)
    worker = build_worker(
        deps,
        renderer,
        concurrency=settings.worker_concurrency,
        budget=budget,
        limits=probe_limits(settings),
        write_tags=settings.write_tags,
        scan=build_scan(deps, settings),
    )
    if {"api", "worker"} & set(settings.roles):
        report = ConfinementReport(memory_bytes=settings.decoder_memory_bytes)
        backbone.service.runs("decoder confinement", report.run)
    if "worker" in settings.roles:
        backbone.service.runs("uploads", worker.run)
        backbone.service.runs("moves", mover.run)
        backbone.service.runs("library", CatchUpLibrary(CatchUpQueries(deps.database)).run)
        backbone.service.runs("usage", CatchUpUsage(UsageQueries(deps.database)).run)
    backbone.consumes(worker_handlers(deps.outbox, worker, clock=deps.clock), group=WORKER_GROUP)
    return backbone.service


def _recorder(backbone: Backbone, deps: Dependencies, settings: MediaSettings) -> AccessRecorder:
    """Notes accesses in the `api` role, which alone answers any."""
    if not settings.statistics or "api" not in settings.roles:
        return CountNothing()
    counter = AccessCounter(max_keys=settings.statistics_keys)
    flush = build_accesses(deps, settings, counter)
    backbone.service.closes(flush)
    backbone.service.runs("accesses", flush.run)
    return CountAccesses(counter)


def main() -> None:
    """Read the settings and run until told to stop."""
    platform = PlatformSettings()
    settings = MediaSettings()  # type: ignore[call-arg]  # required fields come from the environment
    configure_logging(service=NAME, level=platform.log_level, renderer=platform.log_format)
    build(platform, settings, StorageSettings()).main()


if __name__ == "__main__":
    main()
